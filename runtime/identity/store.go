package identity

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// Config says where a Store keeps and finds things.
type Config struct {
	// Dir keeps the authorities that meshc makes. Without it they live as long
	// as the Store.
	Dir string
	// Roots are the folders where the relative paths of secrets may begin.
	Roots []string
	// Log is slog.Default where it is nil.
	Log *slog.Logger
	// Poll is the time between two looks at the files of secrets: 1s.
	Poll time.Duration
}

// Store is a publish.Consumer. It is safe for use by many goroutines.
type Store struct {
	cfg  Config
	log  *slog.Logger
	wake chan struct{} // something is due sooner than Run knows

	mu        sync.Mutex
	serving   *View
	preparing *View
	makers    map[string]*maker // authorities of our own, by ID, for as long as the Store lives
	own       *own              // nil before it was asked for
	changed   []func()
	renewals  map[string]*renewals // by mesh
}

// key names an identity.
type key struct{ proxy, mesh string }

// New returns a Store that has no snapshot yet.
func New(cfg Config) *Store {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Poll == 0 {
		cfg.Poll = time.Second
	}
	return &Store{
		cfg: cfg, log: cfg.Log, wake: make(chan struct{}, 1),
		makers: map[string]*maker{}, renewals: map[string]*renewals{},
	}
}

// Name is part of publish.Consumer.
func (s *Store) Name() string { return "identity" }

// Source is part of publish.Source: the others show what a Store has.
func (s *Store) Source() {}

// OnChange has f called, after the fact and in no lock, when a certificate of
// the snapshot that serves was renewed or a secret of it is another. It is
// called before the first snapshot.
func (s *Store) OnChange(f func()) { s.changed = append(s.changed, f) }

// Prepare is part of publish.Consumer: it reads the secrets of next, and makes
// or checks its authorities. An error says where the document is written.
func (s *Store) Prepare(ctx context.Context, next snapshot.Snapshot) (commit, abort func(), err error) {
	// What is followed goes on from one View to the next, so it has to be as the
	// files are now: next was made of these, and half of a pair from before the
	// last write would be refused with nothing left to change.
	s.look()
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.newView(ctx, next)
	if err != nil {
		return nil, nil, err
	}
	s.preparing = v
	commit = func() {
		s.mu.Lock()
		v.inherit(s.serving)
		s.serving, s.preparing = v, nil
		s.mu.Unlock()
		s.nudge()
	}
	abort = func() {
		s.mu.Lock()
		s.preparing = nil
		s.mu.Unlock()
	}
	return commit, abort, nil
}

// View returns what belongs to the snapshot of this version: the one that is
// being prepared, or the one that serves. For any other it is nil.
func (s *Store) View(version snapshot.Digest) *View {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range []*View{s.preparing, s.serving} {
		if v != nil && v.version == version {
			return v
		}
	}
	return nil
}

// nudge has Run look again at what is due.
func (s *Store) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run renews certificates and follows secrets until ctx ends.
func (s *Store) Run(ctx context.Context) {
	for {
		timer := time.NewTimer(s.look())
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-s.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// look does what is due in the View that serves, and returns how long nothing
// will be.
func (s *Store) look() time.Duration {
	s.mu.Lock()
	v := s.serving
	if v == nil {
		s.mu.Unlock()
		return forever
	}
	now := time.Now()
	changed := v.refresh(now)
	next := v.due(now)
	s.mu.Unlock()
	if changed {
		for _, f := range s.changed {
			f()
		}
	}
	return max(time.Until(next), time.Millisecond)
}

// Unusable is what is wrong with a secret or an authority of a snapshot.
type Unusable struct {
	Document string // ID of the one that it is written in, or ""
	Message  string

	where string
	err   error
}

// Error says where the document is written, too.
func (u *Unusable) Error() string { return u.where + u.Message }

// Unwrap returns what it was.
func (u *Unusable) Unwrap() error { return u.err }

func unusable(next snapshot.Snapshot, sources snapshot.List[string], what string, err error) error {
	u := &Unusable{Message: what + ": " + err.Error(), where: where(next, sources), err: err}
	if sources.Len() > 0 {
		u.Document = sources.At(0)
	}
	return u
}

// where says, for an error, at which place the first of sources is written.
func where(next snapshot.Snapshot, sources snapshot.List[string]) string {
	if sources.Len() == 0 {
		return ""
	}
	id := sources.At(0)
	origins := next.Origins
	i, found := search(origins, id, func(o snapshot.Origin) string { return o.ID })
	if !found {
		return id + ": "
	}
	o := origins.At(i)
	return fmt.Sprintf("%s:%d:%d: ", o.File, o.Line, o.Column)
}

// search finds the element of this key in a sorted list.
func search[T any](l snapshot.List[T], want string, key func(T) string) (int, bool) {
	lo, hi := 0, l.Len()
	for lo < hi {
		if mid := (lo + hi) / 2; key(l.At(mid)) < want {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < l.Len() && key(l.At(lo)) == want
}
