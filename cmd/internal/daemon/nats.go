package daemon

import (
	"context"
	"errors"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/services/ingest/natsapi"
)

// grant says where the holder of an nkey may publish: a provider to its own
// subject, nobody else anywhere.
func (d *Daemon) grant(nkey string) (eventlog.Grant, error) {
	select {
	case <-d.ready:
		return natsapi.Grant(d.ingest, nkey)
	default:
		return eventlog.Grant{}, errors.New("not ready")
	}
}

// overNATS answers providers that publish usage over NATS.
func (d *Daemon) overNATS(ctx context.Context) error {
	return natsapi.Serve(ctx, d.log.Conn(), d.ingest)
}
