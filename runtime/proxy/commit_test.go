package proxy

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
)

// committing is a factory that notes what is said to it.
type committing struct {
	testFactory
	say func(string)
}

func (c committing) Commit() { c.say("commit") }

// TestFactoriesHearOfTheCommit: a factory hears when its snapshot is committed,
// and nothing of one that is refused or given up.
func TestFactoriesHearOfTheCommit(t *testing.T) {
	var said []string
	say := func(s string) { said = append(said, s) }
	w := &world{}
	w.cluster("a", named(t, "a"))
	w.host("x", "a")
	install := kinds{"k": nil}.install(w, nil)
	p := run(t, w, install, func(c *Config) {
		c.NewFilter = func(_ context.Context, f snapshot.Filter, _ bool, _ string) (filter.Factory, error) {
			if f.Kind != "k" {
				return nil, errors.New("no such kind")
			}
			return committing{testFactory{func(filter.Stream) filter.HTTP { return nil }, func() { say("close") }}, say}, nil
		}
	})
	if want := []string{"commit"}; !slices.Equal(said, want) {
		t.Errorf("at first: %q, want %q", said, want)
	}
	said = nil
	_, abort, err := p.Prepare(t.Context(), w.snapshot())
	if err != nil {
		t.Fatal(err)
	}
	abort()
	w.filters = append(w.filters, snapshot.Filter{Kind: "bad"})
	if _, _, err := p.Prepare(t.Context(), w.snapshot()); err == nil {
		t.Error("taken")
	}
	if want := []string{"close", "close"}; !slices.Equal(said, want) {
		t.Errorf("of what is given up and of what is refused: %q, want %q", said, want)
	}
}
