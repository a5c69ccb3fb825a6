package redact

import (
	"fmt"
	"io"
	"log/slog"
)

const hidden = "[redacted]"

// Secret is text that must not be printed: every way of formatting, logging or
// marshalling it yields "[redacted]". A plain string unmarshals into it. Do not
// use it as the key of a map: encoding/json writes keys of kind string as they are.
type Secret string

// Reveal returns the secret itself, for the one place that uses it.
func (s Secret) Reveal() string { return string(s) }

// String implements fmt.Stringer.
func (s Secret) String() string { return hidden }

// GoString implements fmt.GoStringer.
func (s Secret) GoString() string { return hidden }

// Format implements fmt.Formatter, so that no verb, not even a wrong one,
// prints the secret.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText implements encoding.TextMarshaler.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// MarshalJSON implements json.Marshaler.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// MarshalYAML implements the Marshaler of yaml.v3.
func (s Secret) MarshalYAML() (any, error) { return hidden, nil }
