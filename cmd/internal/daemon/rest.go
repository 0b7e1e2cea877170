package daemon

import "context"

// Rest returns when everything that is in the streams is settled, distributed,
// published and kept, or with the error of the service that stopped meanwhile.
func (d *Daemon) Rest(ctx context.Context) error {
	waiting, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	rested := make(chan struct{})
	defer close(rested)
	go func() { // ends when Rest returns
		select {
		case err := <-d.failed:
			stop(err)
		case <-rested:
		}
	}()
	if err := d.rest(waiting); err != nil {
		if cause := context.Cause(waiting); cause != nil {
			return cause
		}
		return err
	}
	return nil
}

func (d *Daemon) rest(ctx context.Context) error {
	last, err := d.streams.control.Last(ctx)
	if err != nil {
		return err
	}
	if err := d.WaitEffective(ctx, last); err != nil {
		return err
	}
	for partition, usage := range d.streams.usage {
		last, err := usage.Last(ctx)
		if err != nil {
			return err
		}
		if last == 0 {
			continue
		}
		if err := d.WaitSettled(ctx, partition, last); err != nil {
			return err
		}
	}
	if err := d.WaitPublished(ctx); err != nil {
		return err
	}
	return d.WaitKept(ctx)
}
