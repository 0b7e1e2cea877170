package pack

// Extents says how much of every stream is signed, and so read.
func (p *Pack) Extents() (list []Extent) {
	for _, s := range p.streams {
		list = append(list, Extent{s.name, s.last, s.root.String()})
	}
	return list
}
