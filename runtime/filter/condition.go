package filter

// When returns a factory of the filters of f for the streams whose request
// headers takes accepts as they are when they reach the filter. For the others
// the filter takes no part, and is not made. A stream whose request headers
// never get there, as another filter has answered before, has the filter in
// its response (Envoy's match delegate).
func When(f Factory, takes func(request *Headers) bool) Factory {
	return &conditional{f, takes}
}

type conditional struct {
	Factory
	takes func(*Headers) bool
}

// meet makes the filter of s, whose condition was not looked at yet. Without
// request headers it counts as met.
func (s *slot) meet(request *Headers) {
	c := s.unmet
	s.unmet = nil
	if request == nil || c.takes(request) {
		s.filter = c.Factory.HTTP(s)
	}
	if s.filter == nil {
		s.filter = PassThrough{}
	}
}
