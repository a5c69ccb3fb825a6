
oe ÿÿÿÿÿÿÿÿÿ*KILLB
not_permittedm