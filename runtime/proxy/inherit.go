package proxy

// heir is a cluster of a new key, and the one that its listener had for the
// same endpoints: the names of clusters carry those of policies.
type heir struct{ cluster, former *cluster }

// formerClusters returns the clusters of a listener by the names of their
// endpoints; where several have the same, the first. l may be nil.
func formerClusters(l *listener) map[string]*cluster {
	if l == nil {
		return nil
	}
	m := map[string]*cluster{}
	for s := range l.splits() {
		for i := range s.arms {
			if c := s.arms[i].cluster; m[c.setName] == nil {
				m[c.setName] = c
			}
		}
	}
	return m
}

// inherit gives the state of clusters that go to those that come in their
// place. Where the former stays, for another listener, what it knows of the
// endpoints is copied: pools and counters stay with it.
func (b *builder) inherit() {
	taken := map[*cluster]bool{}
	for _, h := range b.heirs {
		c, former := h.cluster, h.former
		_, stays := b.gen.cluster(former.key)
		if stays || taken[former] {
			copyStandings(c, former)
			continue
		}
		taken[former] = true
		c.state, c.fresh, c.inherited = former.state, false, true
		if c.dns == nil {
			b.populate(c, b.reachable(c, b.sets.find(c.setName).Endpoints))
		}
	}
}

// copyStandings tells c, which has a state of its own, what former knows.
func copyStandings(c, former *cluster) {
	known := map[string]*standing{}
	for _, e := range former.known() {
		known[e.pool.text] = e.standing
	}
	keep := uint32(firstCheck)<<len(c.checks) - firstCheck
	if c.detects() {
		keep |= ejected
	}
	d := &former.state.detector
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range c.endpoints {
		if s := known[e.pool.text]; s != nil {
			e.standing.known = true
			e.standing.faults.Store(s.faults.Load() & keep)
			e.standing.ejections = s.ejections
		}
	}
	c.state.next.Store(former.state.next.Load())
}

// adopt has the states of clusters keep the pools of next and those of no
// other generation. Both lists are sorted by name.
func adopt(old, next []*cluster) {
	inherited := map[*clusterState]bool{}
	for _, c := range next {
		if c.inherited {
			inherited[c.state] = true
		}
	}
	end := func(c *cluster) {
		if !inherited[c.state] {
			c.state.close()
		}
	}
	for _, c := range next {
		for len(old) > 0 && old[0] != c && old[0].key < c.key {
			end(old[0])
			old = old[1:]
		}
		if len(old) > 0 && old[0] == c {
			old = old[1:]
			continue
		}
		if len(old) > 0 && old[0].key == c.key {
			old = old[1:]
		}
		c.state.keep(c)
	}
	for _, c := range old {
		end(c)
	}
}
