package main

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/pkg/plain"
)

type keyCommand struct {
	Create keyCreate `cmd:"" help:"Make a key; its secret is shown once. With --nkey, print where on NATS the provider publishes instead."`
	List   keyList   `cmd:"" help:"List the keys that were made, and which of them are revoked; never their secrets."`
	Revoke keyRevoke `cmd:"" help:"Revoke a key."`
}

type keyCreate struct {
	Key      string `arg:"" help:"Public name of the key: the name of a person or a program."`
	Scope    string `enum:"operator,provider,auditor" required:"" help:"operator, provider or auditor."`
	Provider string `help:"Provider whose usage the key may send."`
	NKey     string `name:"nkey" placeholder:"U…" help:"Public nkey of a provider that publishes usage over NATS. The key then has no secret: the seed stays with the provider."`
}

func (c *keyCreate) Run(ctx context.Context, r *root) error {
	var made api.Key
	in := map[string]string{"key": c.Key, "scope": c.Scope}
	if c.Provider != "" {
		in["provider"] = c.Provider
	}
	if c.NKey != "" {
		in["nkey"] = c.NKey
	}
	if err := r.ask(ctx, http.MethodPost, "/v1/keys", in, &made); err != nil {
		return err
	}
	return r.print(made, func(w io.Writer) {
		if made.NKey != "" {
			plain.Fprintf(w, "subject %s\ninbox   %s\n", made.Subject, made.Inbox)
			return
		}
		plain.Fprintf(w, "%s\n", made.Secret)
	})
}

type keyList struct{}

func (keyList) Run(ctx context.Context, r *root) error {
	var all []api.ListedKey
	if err := r.ask(ctx, http.MethodGet, "/v1/keys", nil, &all); err != nil {
		return err
	}
	return r.print(all, func(w io.Writer) {
		t := plain.NewTable(w, "KEY", "SCOPE", "PROVIDER", "NKEY", "STATE")
		for _, k := range all {
			state := "valid"
			if k.Revoked {
				state = "revoked"
			}
			t.Row(k.Key, k.Scope, k.Provider, k.NKey, state)
		}
		t.End()
	})
}

type keyRevoke struct {
	Key string `arg:"" help:"Public name of the key."`
}

func (c *keyRevoke) Run(ctx context.Context, r *root) error {
	var done api.Decided
	if err := r.ask(ctx, http.MethodDelete, "/v1/keys/"+url.PathEscape(c.Key), nil, &done); err != nil {
		return err
	}
	return r.decided(done)
}
