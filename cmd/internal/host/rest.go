package host

import "context"

// Rest returns when everything in the streams is settled, distributed,
// published and kept, or with the error of a service that stopped meanwhile.
func (p *Process) Rest(ctx context.Context) error {
	waiting, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	rested := make(chan struct{})
	defer close(rested)
	go func() { // ends when Rest returns
		select {
		case err := <-p.failed:
			stop(err)
		case <-rested:
		}
	}()
	if err := p.rest(waiting); err != nil {
		if cause := context.Cause(waiting); cause != nil {
			return cause
		}
		return err
	}
	return nil
}

func (p *Process) rest(ctx context.Context) error {
	last, err := p.streams.control.Last(ctx)
	if err != nil {
		return err
	}
	if err := p.WaitEffective(ctx, last); err != nil {
		return err
	}
	for _, partition := range p.partitions {
		last, err := p.streams.usage[partition].Last(ctx)
		if err != nil {
			return err
		}
		if last == 0 {
			continue
		}
		if err := p.WaitSettled(ctx, partition, last); err != nil {
			return err
		}
	}
	if err := p.WaitPublished(ctx); err != nil {
		return err
	}
	return p.WaitKept(ctx)
}
