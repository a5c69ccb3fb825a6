getent ahostsv4 report.lab.internal | grep -q '^10.77.0.41 '
