// Package publish hands a new snapshot to every consumer, or to none.
package publish

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/meshc/meshc/compiler/snapshot"
)

// Consumer is a part of the process that serves snapshots.
type Consumer interface {
	// Name says who it is, for errors and logs.
	Name() string
	// Prepare does the slow work for next (opening sockets, building match
	// trees, compiling) beside what is being served. When it succeeds, exactly
	// one of the two functions is called: commit makes next serve, cannot fail
	// and is quick; abort undoes the preparation. Prepare stops early when ctx
	// ends, as it does when a newer snapshot is at hand.
	Prepare(ctx context.Context, next snapshot.Snapshot) (commit, abort func(), err error)
}

// Source is a Consumer that those after it ask for what they prepare with.
// Where it fails, what they would say is not what is wrong: they are not asked.
type Source interface {
	Consumer
	Source()
}

// Publisher gives snapshots to a fixed set of consumers, in order.
type Publisher struct {
	consumers []Consumer
	mu        sync.Mutex // one publication at a time
}

// New returns a Publisher to consumers; they commit in the order given and
// abort in reverse.
func New(consumers ...Consumer) *Publisher { return &Publisher{consumers: consumers} }

// Publish prepares next in every consumer and commits it in all of them. When
// any of them fails, or ctx ends first, all abort, what was served before goes
// on being served, and the errors of those that failed are returned.
func (p *Publisher) Publish(ctx context.Context, next snapshot.Snapshot) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var commits, aborts []func()
	var errs []error
	for _, c := range p.consumers {
		if err := ctx.Err(); err != nil {
			errs = append(errs, err)
			break
		}
		commit, abort, err := c.Prepare(ctx, next)
		if err != nil {
			// The others still prepare, so that one run shows every fault.
			errs = append(errs, fmt.Errorf("%s: %w", c.Name(), err))
			if _, ok := c.(Source); ok {
				break
			}
			continue
		}
		commits, aborts = append(commits, commit), append(aborts, abort)
	}
	if len(errs) == 0 {
		errs = append(errs, ctx.Err())
	}
	if err := errors.Join(errs...); err != nil {
		for i := len(aborts) - 1; i >= 0; i-- {
			aborts[i]()
		}
		return err
	}
	for _, commit := range commits {
		commit()
	}
	return nil
}
