package k8s

import (
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
)

// checkScalers wants what is scaled to be there, and what it is scaled by.
func (w *world) checkScalers(_ description) {
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
				if !strings.HasPrefix(m.External.Metric.Name, "aliquot_") {
					w.fault("HorizontalPodAutoscaler %s: metric %s is not ours", s.Name, m.External.Metric.Name)
				}
			default:
				w.fault("HorizontalPodAutoscaler %s: by %s", s.Name, m.Type)
			}
		}
	}
}
