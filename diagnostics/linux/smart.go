package linux

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

const rawSMART = "smartctl"

func diskSMART() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "disk.smart",
			Title: "What a disk says of its own health",
			Doc: "smartctl -j -i -H -A of smartmontools 7 and later. It reads what the disk has stored and starts no test. Failed where smartctl is not installed or the disk " +
				"(a virtual one, one behind a controller) has no such data.",
			Inputs: []expr.Field{required(str(argDevice, "/dev/sda, /dev/nvme0"))},
			Outputs: []expr.Field{
				boolean("passed", "its own verdict; a disk that says passed may die all the same"),
				str("model", "as it names itself"),
				str("serial", "to find it in the rack"),
				integer("reallocated", "sectors replaced (attribute 5)"),
				integer("pending", "sectors that could not be read (attribute 197)"),
				integer("uncorrectable", "sectors that could not be corrected (attribute 198), or the media errors of NVMe"),
				integer("reported_uncorrectable", "errors reported to the host (attribute 187)"),
				integer("crc_errors", "errors on the way (attribute 199): the cable, not the disk"),
				integer("critical_warning", "bits of NVMe; 0 for others"),
				integer("used_percent", "of the endurance of NVMe; 0 for others"),
				integer("hours", "powered on"),
			},
			CostSeconds: 0.3,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error {
			if err := checkDevice(args[argDevice]); err != nil {
				return err
			}
			rec.Run(ctx, rawSMART, command("smartctl", "-j", "-i", "-H", "-A", "--", args[argDevice]))
			return nil
		},
		parse: parseSMART,
	}
}

// smartReport is the part of the JSON of smartctl(8) that is used.
type smartReport struct {
	Smartctl struct {
		Messages []struct {
			String string `json:"string"`
		} `json:"messages"`
	} `json:"smartctl"`
	Model  string `json:"model_name"`
	Serial string `json:"serial_number"`
	Status *struct {
		Passed bool `json:"passed"`
	} `json:"smart_status"`
	Attributes struct {
		Table []struct {
			ID  int `json:"id"`
			Raw struct {
				Value int64 `json:"value"`
			} `json:"raw"`
		} `json:"table"`
	} `json:"ata_smart_attributes"`
	NVMe struct {
		CriticalWarning int64 `json:"critical_warning"`
		MediaErrors     int64 `json:"media_errors"`
		PercentageUsed  int64 `json:"percentage_used"`
	} `json:"nvme_smart_health_information_log"`
	PowerOn struct {
		Hours int64 `json:"hours"`
	} `json:"power_on_time"`
}

// parseSMART reads the report. The exit status is a set of bits, of which some
// say that the disk is ill: the report counts, not the status.
func parseSMART(in readings) (diagnostics.Value, error) {
	raw, err := in.ran(rawSMART)
	if err != nil {
		return nil, err
	}
	var r smartReport
	if err := json.Unmarshal(raw.Data, &r); err != nil {
		return nil, cannotTell(diagnostics.Failed, "%s: exit status %d: its answer is no JSON", rawSMART, raw.ExitCode)
	}
	if r.Status == nil {
		why := "it does not tell the health of this device"
		for _, m := range r.Smartctl.Messages {
			why = clip(m.String, maxLineBytes)
		}
		status := diagnostics.Failed
		if strings.Contains(why, "Permission denied") {
			status = diagnostics.Denied
		}
		return nil, cannotTell(status, "%s: %s", rawSMART, why)
	}
	value := diagnostics.Value{
		"passed": r.Status.Passed, "model": clip(r.Model, maxCommand), "serial": clip(r.Serial, maxCommand),
		"critical_warning": max(r.NVMe.CriticalWarning, 0), "used_percent": max(r.NVMe.PercentageUsed, 0), "hours": max(r.PowerOn.Hours, 0),
		"reallocated": int64(0), "pending": int64(0), "uncorrectable": max(r.NVMe.MediaErrors, 0), "reported_uncorrectable": int64(0), "crc_errors": int64(0),
	}
	names := map[int]string{5: "reallocated", 187: "reported_uncorrectable", 197: "pending", 198: "uncorrectable", 199: "crc_errors"}
	for _, a := range r.Attributes.Table {
		if name := names[a.ID]; name != "" {
			value[name] = max(a.Raw.Value, 0)
		}
	}
	return value, nil
}
