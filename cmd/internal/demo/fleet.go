package demo

import (
	"fmt"
	"math/rand/v2"
	"sort"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Node is one machine of the world.
type Node struct {
	Name   events.Node
	Region string
	GPU    string
	Model  string // the model that it serves; "none" for a machine rented by the second
	GPUs   int    // of one machine

	europe bool
}

// region has a share of the fleet and an offset in hours from UTC.
type region struct {
	name   string
	share  uint64
	ahead  int
	europe bool
}

var regions = []region{
	{"us-east", 22, -5, false},
	{"us-west", 16, -8, false},
	{"eu-north", 18, 1, true},
	{"eu-west", 14, 0, true},
	{"eu-south", 8, 1, true},
	{"ap-south", 10, 5, false},
	{"ap-east", 8, 9, false},
	{"sa-east", 4, -3, false},
}

var gpus = []struct {
	name  string
	share uint64
	count int
}{{"H100", 40, 8}, {"A100", 25, 8}, {"L40S", 20, 4}, {"H200", 15, 8}}

var models = []struct {
	name  string
	share uint64
}{{"none", 60}, {"large", 12}, {"medium", 14}, {"small", 14}}

func (w *World) buildFleet() {
	chance := w.stream("fleet")
	var shares, kinds, served []uint64
	for _, r := range regions {
		shares = append(shares, r.share)
	}
	for _, g := range gpus {
		kinds = append(kinds, g.share)
	}
	for _, m := range models {
		served = append(served, m.share)
	}
	shares, kinds, served = sums(shares), sums(kinds), sums(served)
	w.byRegion = make([][]int, len(regions))
	for i := range w.Config.Nodes {
		at := i // Every region has at least one.
		if i >= len(regions) {
			at = pick(chance, shares)
		}
		gpu := gpus[pick(chance, kinds)]
		model := models[pick(chance, served)].name
		if len(w.byRegion[at]) == 0 {
			model = "none"
		}
		w.byRegion[at] = append(w.byRegion[at], i)
		r := regions[at]
		w.Nodes = append(w.Nodes, Node{
			Name:   events.Node(fmt.Sprintf("%s-%03d", r.name, len(w.byRegion[at]))),
			Region: r.name, GPU: gpu.name, Model: model, GPUs: gpu.count, europe: r.europe,
		})
	}
}

// Customer is one customer of the world.
type Customer struct {
	Name  events.Customer
	Title string
	Plan  string // "committed" or "standard"
}

var (
	firsts = []string{"amber", "birch", "cedar", "delta", "ember", "fjord", "granite", "harbor", "indigo", "juniper",
		"kestrel", "lumen", "maple", "nimbus", "orchid", "pebble", "quartz", "rowan", "summit", "tundra"}
	seconds = []string{"labs", "robotics", "health", "studio", "analytics", "games", "research", "finance", "media", "systems"}
)

func (w *World) buildCustomers() {
	chance := w.stream("customers")
	order := chance.Perm(len(firsts) * len(seconds))
	for i := range w.Config.Customers {
		k := order[i%len(order)]
		name := firsts[k/len(seconds)] + "-" + seconds[k%len(seconds)]
		if round := i / len(order); round > 0 {
			name += fmt.Sprintf("-%d", round+1)
		}
		c := Customer{Name: events.Customer(name), Title: name, Plan: "standard"}
		if i < 5 || chance.IntN(10) == 0 {
			c.Plan = "committed"
		}
		w.Customers = append(w.Customers, c)
		// Zipf's law: the k-th largest has a k-th of the weight of the largest.
		w.weights = append(w.weights, 1_000_000/uint64(i+1))
	}
	w.weights = sums(w.weights)
}

// sums returns the running totals of weights.
func sums(weights []uint64) []uint64 {
	out := make([]uint64, len(weights))
	total := uint64(0)
	for i, v := range weights {
		total += v
		out[i] = total
	}
	return out
}

// pick returns an index with a probability in proportion to its weight, given
// running totals.
func pick(chance *rand.Rand, totals []uint64) int {
	n := chance.Uint64N(totals[len(totals)-1])
	return sort.Search(len(totals), func(i int) bool { return totals[i] > n })
}
