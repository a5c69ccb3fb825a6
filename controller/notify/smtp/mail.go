package smtp

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/wneessen/go-mail"

	"github.com/secondline-ops/secondline/controller/notify"
	"github.com/secondline-ops/secondline/internal/fault"
)

const (
	// maxAttachmentBytes is what is attached at most: base64 makes 7 MiB of it,
	// below the 10 MB that small servers take.
	maxAttachmentBytes = 5 << 20
	maxSubjectRunes    = 200
	maxTextBytes       = 256 << 10
)

func (s *Sender) sendTo(ctx context.Context, to string, m notify.Message) error {
	msg, err := s.compose(to, m)
	if err != nil {
		return err
	}
	var open dialled
	defer open.close()
	client, err := s.client(&open)
	if err != nil {
		return err
	}
	conn, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return s.classifyDial(err)
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	err = client.SendWithSMTPClient(conn, msg)
	_ = client.CloseWithSMTPClient(conn) // the server has taken the mail, or said why not
	if msg.IsDelivered() {
		return nil
	}
	return classify(err)
}

// dialled keeps the connection of one mail, because go-mail leaves it open
// when the greeting, TLS or the login fails.
type dialled struct{ conn net.Conn }

func (d *dialled) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	d.conn = conn
	return conn, err
}

func (d *dialled) close() {
	if d.conn != nil {
		_ = d.conn.Close()
	}
}

func (s *Sender) client(open *dialled) (*mail.Client, error) {
	options := []mail.Option{
		mail.WithPort(s.o.Port), mail.WithTimeout(s.o.Timeout),
		mail.WithTLSConfig(&tls.Config{ServerName: s.o.Host, MinVersion: tls.VersionTLS12, RootCAs: s.o.RootCAs}),
	}
	switch s.o.TLS {
	case Required:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	case Opportunistic:
		options = append(options, mail.WithTLSPolicy(mail.TLSOpportunistic))
	case None:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	}
	if s.o.Port == portImplicitTLS {
		// go-mail knows a line as encrypted only if it dialled itself: what it
		// leaves open here is closed with the garbage.
		options = append(options, mail.WithSSL())
	} else {
		options = append(options, mail.WithDialContextFunc(open.dial))
	}
	if s.o.User != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(s.o.User), mail.WithPassword(s.o.Password.Reveal()))
	}
	client, err := mail.NewClient(s.o.Host, options...)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "prepare mail client")
	}
	return client, nil
}

// compose makes the mail. Its Message-ID comes from the message's id alone, so
// that the same message sent again is known to be the same, and all mails of an
// incident refer to one root, so that they show as one thread.
func (s *Sender) compose(to string, m notify.Message) (*mail.Msg, error) {
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := msg.From(s.o.From); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "set sender")
	}
	if err := msg.To(to); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "set recipient")
	}
	domain := "secondline.invalid"
	if from := msg.GetFrom(); len(from) == 1 {
		domain = from[0].Address[strings.LastIndexByte(from[0].Address, '@')+1:]
	}
	root := "<incident." + digest(m.Incident.ID) + "@" + domain + ">"
	msg.Subject(oneLine(m.Subject))
	msg.SetDate()
	msg.SetMessageIDWithValue(string(m.Kind) + "." + digest(m.ID) + "@" + domain)
	msg.SetGenHeader("In-Reply-To", root)
	msg.SetGenHeader("References", root)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no vacation mail comes back
	msg.SetGenHeader("X-Auto-Response-Suppress", "All")
	msg.SetGenHeader("X-Secondline-Incident", fmt.Sprint(m.Incident.Number))

	text := plain(m.Text)
	if m.Link != "" {
		text += "\n\n" + oneLine(m.Link) + "\n"
	}
	note, err := attach(msg, m.Attachment)
	if err != nil {
		return nil, err
	}
	msg.SetBodyString(mail.TypeTextPlain, text+note)
	return msg, nil
}

// attach adds the file when it is not too large, else it returns the sentence
// that says so.
func attach(msg *mail.Msg, path string) (note string, err error) {
	if path == "" {
		return "", nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return "\nThe bundle is not attached: its file could not be read.\n", nil //nolint:nilerr // a person is told, with or without it
	}
	if info.Size() > maxAttachmentBytes {
		return fmt.Sprintf("\nThe bundle has %d MiB and is not attached; get it from the incident's page.\n", info.Size()>>20), nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "\nThe bundle is not attached: its file could not be read.\n", nil //nolint:nilerr // as above
	}
	if err := msg.AttachReader(filepath.Base(path), strings.NewReader(string(data)), mail.WithFileContentType("application/gzip")); err != nil {
		return "", fmt.Errorf("attach bundle: %w", err)
	}
	return "", nil
}

// digest makes an id of any bytes fit for a header.
func digest(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:12])
}

// oneLine takes out what could end a header or fool a reader: control bytes and
// the marks that turn the direction of text.
func oneLine(s string) string {
	runes := []rune(strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || hostile(r)
	}), " "))
	if len(runes) > maxSubjectRunes {
		runes = append(runes[:maxSubjectRunes-1], '…')
	}
	return string(runes)
}

func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && hostile(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) > maxTextBytes {
		s = strings.ToValidUTF8(s[:maxTextBytes], "") + "\n…"
	}
	return s
}

func hostile(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

// classify makes a fault of what the mail library says, by the server's code.
func classify(err error) error {
	if err == nil {
		return fault.New(fault.Transient, "the mail was not delivered, and the server did not say why")
	}
	code := 0
	if e, ok := errors.AsType[*mail.SendError](err); ok {
		code = e.ErrorCode()
	}
	if e, ok := errors.AsType[*textproto.Error](err); ok {
		code = e.Code
	}
	kind := fault.Transient
	var timeout net.Error
	switch {
	case code == 552 || code == 554 && strings.Contains(err.Error(), "size"):
		kind = fault.TooLarge
	case code == 530 || code == 534 || code == 535 || code == 538: // RFC 4954, section 6
		kind = fault.Denied
	case code >= 500:
		kind = fault.Invalid
	case code >= 400:
		kind = fault.Transient
	case errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded):
		kind = fault.Timeout
	case isDial(err):
		kind = fault.Unreachable
	case isCertificate(err) || errors.Is(err, mail.ErrNoSupportedAuthDiscovered):
		kind = fault.Denied
	}
	return fault.Wrap(kind, err, "send mail")
}

// classifyDial is classify for a connection that did not come about. What is
// neither the network nor an answer of the server is the library refusing to
// go on without encryption or without a way to log in.
func (s *Sender) classifyDial(err error) error {
	_, isNet := errors.AsType[net.Error](err)
	_, isAnswer := errors.AsType[*textproto.Error](err)
	if isNet || isAnswer || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return classify(err)
	}
	return fault.Wrap(fault.Denied, err, "connect to mail server").WithHint("the server offers no encryption, or no way to log in, that tls: %s allows", s.o.TLS)
}

func isDial(err error) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == "dial"
}

func isCertificate(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}
