package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// Status is the state of every loop, with positions in the streams.
type Status struct {
	Healthy   bool            `json:"healthy"`
	Reason    string          `json:"reason,omitempty" doc:"Why it is not healthy."`
	Version   string          `json:"version"`
	Control   uint64          `json:"control" doc:"Last position of CONTROL."`
	Effective uint64          `json:"effective" doc:"Position up to which CONTROL is in effect."`
	Partition []PartitionLoop `json:"partitions"`
	FreeBytes uint64          `json:"free_bytes" doc:"Free space under the streams."`
}

// PartitionLoop is the progress of one partition.
type PartitionLoop struct {
	Partition int    `json:"partition"`
	Last      uint64 `json:"last" doc:"Last position of USAGE."`
	Settled   uint64 `json:"settled" doc:"Position up to which usage is settled."`
}

// Orchestrators ask these paths, without a key.
const (
	livePath  = "/livez"
	readyPath = "/readyz"
)

func (s *Server) health() {
	register(s, http.MethodGet, livePath, "livez", "Report that the process answers",
		func(context.Context, *struct{}) (*answer[string], error) { return &answer[string]{"ok"}, nil })
	register(s, http.MethodGet, readyPath, "readyz", "Report whether the process can accept and settle usage",
		func(ctx context.Context, _ *struct{}) (*answer[Status], error) {
			status, err := s.Engine.Status(ctx)
			if interrupted(err) {
				return nil, err
			}
			if err != nil {
				return nil, huma.Error503ServiceUnavailable(err.Error())
			}
			if !status.Healthy {
				return nil, huma.Error503ServiceUnavailable(status.Reason)
			}
			return &answer[Status]{status}, nil
		})
	register(s, http.MethodGet, "/v1/status", "status", "Show the state of every loop",
		func(ctx context.Context, _ *struct{}) (*answer[Status], error) {
			status, err := s.Engine.Status(ctx)
			if err != nil {
				return nil, err
			}
			return &answer[Status]{status}, nil
		})
	register(s, http.MethodPost, "/v1/settled", "wait-settled", "Wait until all usage accepted so far is settled",
		func(ctx context.Context, _ *struct{}) (*answer[Status], error) {
			through, err := s.accepted(ctx, "")
			if err != nil {
				return nil, err
			}
			if err := s.waitSettled(ctx, through); err != nil {
				return nil, unavailable(err)
			}
			status, err := s.Engine.Status(ctx)
			if err != nil {
				return nil, err
			}
			return &answer[Status]{status}, nil
		})
}
