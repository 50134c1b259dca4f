package publish_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/publish"
)

// consumer records what is asked of it in a log shared by all.
type consumer struct {
	name    string
	fail    error
	prepare func(context.Context)
	log     *[]string
	serving snapshot.Digest
}

func (c *consumer) Name() string { return c.name }

func (c *consumer) Prepare(ctx context.Context, next snapshot.Snapshot) (commit, abort func(), err error) {
	if c.prepare != nil {
		c.prepare(ctx)
	}
	if c.fail != nil {
		return nil, nil, c.fail
	}
	*c.log = append(*c.log, "prepare "+c.name)
	return func() {
			*c.log = append(*c.log, "commit "+c.name)
			c.serving = next.Version
		}, func() {
			*c.log = append(*c.log, "abort "+c.name)
		}, nil
}

var next = snapshot.Snapshot{Version: snapshot.Digest{1}}

func TestAllCommit(t *testing.T) {
	var log []string
	a, b := &consumer{name: "a", log: &log}, &consumer{name: "b", log: &log}
	if err := publish.New(a, b).Publish(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if want := []string{"prepare a", "prepare b", "commit a", "commit b"}; !slices.Equal(log, want) {
		t.Errorf("got %q, want %q", log, want)
	}
	if a.serving != next.Version || b.serving != next.Version {
		t.Error("a consumer does not serve the snapshot")
	}
}

func TestOneFailsNoneCommits(t *testing.T) {
	for failing := range 3 {
		var log []string
		cs := []*consumer{{name: "a", log: &log}, {name: "b", log: &log}, {name: "c", log: &log}}
		cs[failing].fail = errors.New("no")
		err := publish.New(cs[0], cs[1], cs[2]).Publish(t.Context(), next)
		if !errors.Is(err, cs[failing].fail) {
			t.Errorf("%s fails: got error %v", cs[failing].name, err)
		}
		prepared, aborted := 0, 0
		for _, l := range log {
			switch l[:5] {
			case "prepa":
				prepared++
			case "abort":
				aborted++
			case "commi":
				t.Errorf("%s fails: %s", cs[failing].name, l)
			}
		}
		if prepared != 2 || aborted != 2 {
			t.Errorf("%s fails: %q", cs[failing].name, log)
		}
	}
}

// A snapshot that is already outdated when it is prepared must not serve.
func TestNewerSnapshotCancels(t *testing.T) {
	for at := range 2 {
		var log []string
		ctx, cancel := context.WithCancel(t.Context())
		cs := []*consumer{{name: "a", log: &log}, {name: "b", log: &log}}
		cs[at].prepare = func(context.Context) { cancel() }
		if err := publish.New(cs[0], cs[1]).Publish(ctx, next); !errors.Is(err, context.Canceled) {
			t.Errorf("got error %v", err)
		}
		if cs[0].serving == next.Version || cs[1].serving == next.Version {
			t.Errorf("cancelled in %s: %q", cs[at].name, log)
		}
	}
}

// source is a consumer that the others ask.
type source struct{ consumer }

func (*source) Source() {}

// What follows from a source's error is not reported beside it.
func TestNobodyAsksASourceThatFailed(t *testing.T) {
	var log []string
	s := &source{consumer{name: "secrets", fail: errors.New("no"), log: &log}}
	follows := &consumer{name: "proxy", fail: errors.New("no secrets"), log: &log}
	err := publish.New(s, follows).Publish(t.Context(), next)
	if !errors.Is(err, s.fail) || errors.Is(err, follows.fail) || len(log) > 0 {
		t.Errorf("got error %q after %q", err, log)
	}
}
