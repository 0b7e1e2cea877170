package k8s

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
)

// checkScalers checks that what is scaled exists, and also the metric by which it
// is scaled.
func (w *world) checkScalers() {
	for _, s := range w.scalers {
		target := s.Spec.ScaleTargetRef
		var one *workload
		for _, candidate := range w.workloads {
			if candidate.kind == target.Kind && candidate.name == target.Name && target.APIVersion == "apps/v1" {
				one = candidate
			}
		}
		if one == nil {
			w.fault("HorizontalPodAutoscaler %s: there is no %s %s", s.Name, target.Kind, target.Name)
			continue
		}
		if one.fixed {
			w.fault("HorizontalPodAutoscaler %s: each deployment sets the number of %s back", s.Name, one)
		}
		if s.Spec.MinReplicas == nil || *s.Spec.MinReplicas < 1 || *s.Spec.MinReplicas > s.Spec.MaxReplicas {
			w.fault("HorizontalPodAutoscaler %s: from what to what?", s.Name)
		}
		for _, m := range s.Spec.Metrics {
			switch {
			case m.Type == autoscalingv2.ResourceMetricSourceType && m.Resource != nil:
				if m.Resource.Name == corev1.ResourceCPU && one.pod.Spec.Containers[0].Resources.Requests.Cpu().IsZero() {
					w.fault("HorizontalPodAutoscaler %s: a part of no CPU", s.Name)
				}
			case m.Type == autoscalingv2.ExternalMetricSourceType && m.External != nil:
				if !measured(m.External.Metric.Name) {
					w.fault("HorizontalPodAutoscaler %s: nothing exports %s", s.Name, m.External.Metric.Name)
				}
			default:
				w.fault("HorizontalPodAutoscaler %s: by %s", s.Name, m.Type)
			}
		}
	}
}

// measured reports whether the alert rules use a metric: their test compares
// every name in them with what the binary exports.
func measured(name string) bool {
	data, err := os.ReadFile(filepath.Join("..", "telemetry", "alerts.yaml"))
	return err == nil && slices.Contains(regexp.MustCompile(`aliquot_[a-z_]+`).FindAllString(string(data), -1), name)
}

func TestLagScalesSettlement(t *testing.T) {
	about := binary(t)
	w := assemble(t, "production")
	for _, fault := range w.check(about) {
		t.Error(fault)
	}
	for _, s := range w.scalers {
		if s.Name != "relief" {
			continue
		}
		// One pod for each partition: more pods would settle partitions that do
		// not exist.
		for name, c := range w.configs {
			if last, ok := strings.CutPrefix(c.Data["ALIQUOT_PARTITIONS"], "0-"); ok {
				n, err := strconv.Atoi(last)
				if err != nil || int(s.Spec.MaxReplicas) != n+1 {
					t.Errorf("up to %d pods for the partitions %s of %s", s.Spec.MaxReplicas, c.Data["ALIQUOT_PARTITIONS"], name)
				}
			}
		}
		return
	}
	t.Error("nothing scales it")
}
