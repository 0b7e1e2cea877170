package store

import (
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
)

// VoidReason is [DB.VoidReason] for the snapshot.
func (s *Snapshot) VoidReason(partition int, control uint64) (reason string, ok bool, err error) {
	err = s.conn.Query("SELECT reason FROM void WHERE partition = ?1 AND control = ?2", func(r Row) error {
		reason, ok = r.Text(0), true
		return nil
	}, int64(partition), int64(control))
	if err != nil {
		return "", false, fmt.Errorf("reading why decision %d is void: %w", control, err)
	}
	return reason, ok, nil
}

// DistributeVoids is [DB.DistributeVoids] for the snapshot.
func (s *Snapshot) DistributeVoids() (list []distribution.Void, err error) {
	err = s.conn.Query("SELECT control, partly, reason FROM distribute_void ORDER BY control", func(r Row) error {
		list = append(list, voidOf(r))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the void decisions of distribution: %w", err)
	}
	return list, nil
}
