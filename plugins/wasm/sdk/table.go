package sdk

// table holds the streams by id. A map would take a third of what a small
// filter costs: ids only rise, so that each is a new key.
type table struct {
	slots []*stream // a power of two of them, by the low bits of the id
	count int
	free  *stream // those that were removed
}

func (t *table) slot(id uint32) **stream { return &t.slots[id&uint32(len(t.slots)-1)] }

func (t *table) get(id uint32) *stream {
	if len(t.slots) == 0 {
		return nil
	}
	s := *t.slot(id)
	for s != nil && s.id != id {
		s = s.next
	}
	return s
}

// add returns a new stream with an id that is not there.
func (t *table) add(id uint32) *stream {
	if t.count == len(t.slots) {
		old := t.slots
		t.slots = make([]*stream, max(16, 2*len(old)))
		for _, s := range old {
			for s != nil {
				next := s.next
				t.push(s)
				s = next
			}
		}
	}
	s := t.free
	if s == nil {
		s = &stream{}
	} else {
		t.free = s.next
	}
	s.id = id
	t.push(s)
	t.count++
	return s
}

func (t *table) push(s *stream) {
	slot := t.slot(s.id)
	s.next, *slot = *slot, s
}

// remove takes out a stream that is there.
func (t *table) remove(s *stream) {
	p := t.slot(s.id)
	for *p != s {
		p = &(*p).next
	}
	*p = s.next
	*s = stream{next: t.free}
	t.free = s
	t.count--
}
