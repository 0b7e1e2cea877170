package eventlog

import (
	"fmt"
	"strings"
)

// OfPartition returns the stream of a partition's usage among several, or nil
// if it is not among them.
func OfPartition(partition int, streams ...*Stream) *Stream {
	prefix := fmt.Sprintf("USAGE-%d-", partition)
	for _, s := range streams {
		if s != nil && strings.HasPrefix(s.name, prefix) {
			return s
		}
	}
	return nil
}

// PartitionOf returns the partition whose usage is in the stream with this
// name; ok is false for other streams.
func PartitionOf(name string) (partition int, ok bool) {
	var epoch uint32
	n, err := fmt.Sscanf(name, "USAGE-%d-%d", &partition, &epoch)
	return partition, err == nil && n == 2 && partition >= 0 && UsageStream(uint32(partition), epoch) == name
}
