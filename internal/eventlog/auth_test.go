package eventlog

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

func nkey(t *testing.T) (string, func([]byte) ([]byte, error)) {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return public, pair.Sign
}

func TestANATSClientMayOnlyDoWhatItsKeyIsGranted(t *testing.T) {
	provider, sign := nkey(t)
	mute, signMute := nkey(t)
	stranger, signStranger := nkey(t)
	l := open(t, Config{Listen: "127.0.0.1:0", Auth: func(key string) (Grant, error) {
		switch key {
		case provider:
			return Grant{Name: "acme", Publish: []string{"in.acme"}, Subscribe: []string{"_INBOX_acme.>"}}, nil
		case mute:
			return Grant{Name: "mute"}, nil
		}
		return Grant{}, errors.New("unknown key")
	}})
	s := usage(t, l)
	url := "nats://" + l.Addr()

	refused := map[string][]nats.Option{
		"no credentials":         nil,
		"an unknown key":         {nats.Nkey(stranger, signStranger)},
		"a key signed by others": {nats.Nkey(provider, signStranger)},
		"our own name":           {nats.UserInfo(inProcessUser, "")},
	}
	for name, options := range refused {
		if conn, err := nats.Connect(url, options...); err == nil {
			conn.Close()
			t.Errorf("%s: connected", name)
		}
	}

	denied := make(chan error, 10)
	options := []nats.Option{
		nats.CustomInboxPrefix("_INBOX_acme"),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err }),
	}
	got := make(chan *nats.Msg, 10)
	if _, err := l.Conn().Subscribe("in.*", func(m *nats.Msg) { got <- m }); err != nil {
		t.Fatal(err)
	}
	if err := l.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	conn, err := nats.Connect(url, append(options, nats.Nkey(provider, sign))...)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Publish("in.acme", []byte("usage")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-got:
	case <-time.After(time.Minute):
		t.Fatal("what is granted did not arrive")
	}
	silent, err := nats.Connect(url, append(options, nats.Nkey(mute, signMute))...)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	// Fails when allowOnly leaves an empty list to the server's default.
	for name, try := range map[string]func() error{
		"another provider's subject":       func() error { return conn.Publish("in.other", nil) },
		"the stream itself":                func() error { return conn.Publish("usage.0", nil) },
		"the stream's interface":           func() error { return conn.Publish("$JS.API.STREAM.DELETE."+s.Name(), nil) },
		"listening to everything":          func() error { _, err := conn.SubscribeSync(">"); return err },
		"publishing without any grant":     func() error { return silent.Publish("in.acme", nil) },
		"subscribing without any grant":    func() error { _, err := silent.SubscribeSync("in.acme"); return err },
		"subscribing to another's replies": func() error { _, err := conn.SubscribeSync("_INBOX.>"); return err },
	} {
		if err := try(); err != nil {
			t.Fatal(name, err)
		}
		select {
		case err := <-denied:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(time.Minute):
			t.Errorf("%s: allowed", name)
		}
	}
	publish(t, s, 1, 1)
	if len(got) != 0 {
		t.Error("a refused message arrived")
	}
}
