package wasm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/meshc/meshc/plugins/wasm/internal/host"
)

// crew are instances of a VM that were prepared together, one for each place,
// with roots of the same uses. It serves nobody until one of the uses that it
// was made for is committed.
type crew struct {
	vm *vm
	// Guarded by vm.mu once the crew is vm.next.
	uses      []*factory  // in the order of their roots
	instances []*instance // by worker; nil where it has been taken into service
	used      bool        // some have been
}

// instance is a guest with its roots. In service, it is touched only inside
// its place's worker.
type instance struct {
	*host.Instance
	place *place
	roots []*seat // those that are not deleted

	streams int  // and connections that have begun in it and are not done
	retired bool // another has taken its place; it stays for what began in it
	leaving bool // nothing is left of that: its roots are being ended
	ended   bool
}

// seat is the root of a use in an instance.
type seat struct {
	use     *factory
	root    *host.Root
	in      *instance
	leaving bool
	timer   *time.Timer // until which the guest has to say that it is done
}

// add makes f's root in every instance of the crew, which are started where
// there are none yet. The first is the trial: the others follow, at once, when
// it has passed. After an error the crew is of no use.
func (c *crew) add(ctx context.Context, f *factory) error {
	c.uses = append(c.uses, f)
	errs := make([]error, len(c.instances))
	join := func(n int) {
		failed := f
		if x := c.instances[n]; x != nil {
			errs[n] = x.add(f)
		} else {
			c.instances[n], failed, errs[n] = c.vm.start(c.uses)
		}
		if errs[n] != nil && failed != f {
			errs[n] = fmt.Errorf("%s, which is in the same VM: %w", failed.name, errs[n])
		}
	}
	join(0)
	if err := cmp.Or(errs[0], ctx.Err()); err != nil {
		return err
	}
	var all sync.WaitGroup
	for n := 1; n < len(c.instances); n++ {
		all.Go(func() { join(n) })
	}
	all.Wait()
	return cmp.Or(errors.Join(errs...), ctx.Err())
}

// close ends the instances that serve nobody yet.
func (c *crew) close() {
	for n, x := range c.instances {
		if x != nil {
			x.Close()
			c.instances[n] = nil
		}
	}
}

// start makes an instance with the roots of uses, which has no place yet. With
// an error comes the use that it is about.
func (v *vm) start(uses []*factory) (*instance, *factory, error) {
	begin := time.Now()
	i, err := v.module.Start(v.config, uses[0].plugin.Log)
	if err != nil {
		return nil, uses[0], plain(err)
	}
	x := &instance{Instance: i}
	for _, f := range uses {
		if err := x.add(f); err != nil {
			i.Close()
			return nil, f, err
		}
	}
	v.maker.metrics.started(time.Since(begin))
	return x, nil, nil
}

// add makes the root of a use in an instance that serves nobody yet.
func (x *instance) add(f *factory) error {
	r, err := x.AddRoot(f.plugin)
	if err != nil {
		return plain(err)
	}
	x.roots = append(x.roots, &seat{use: f, root: r, in: x})
	return nil
}

// retire leaves the instance to what has begun in it.
func (x *instance) retire() {
	x.retired = true
	x.place.retired = append(x.place.retired, x)
	x.rest()
}

// done is the end of a stream or connection that began in the instance.
func (x *instance) done() {
	x.streams--
	x.rest()
}

// rest ends a retired instance in which nothing goes on, and whose uses have
// theirs elsewhere.
func (x *instance) rest() {
	if !x.retired || x.leaving || x.ended || x.streams > 0 {
		return
	}
	n := x.place.worker.Index()
	if slices.ContainsFunc(x.roots, func(s *seat) bool { return s.use.seats[n] == s }) {
		return
	}
	x.leaving = true
	for _, s := range slices.Clone(x.roots) {
		x.dismiss(s)
	}
	x.settle()
}

// patience is how long a guest whose on_done said "later" has to say when.
const patience = 5 * time.Second

// dismiss ends a root.
func (x *instance) dismiss(s *seat) {
	if s.leaving || x.ended {
		return
	}
	s.leaving = true
	gone := false
	s.root.Remove(func() {
		gone = true
		if s.timer != nil {
			s.timer.Stop()
		}
		x.roots = slices.DeleteFunc(x.roots, func(other *seat) bool { return other == s })
		x.settle()
	})
	if !gone && !x.ended {
		s.timer = time.AfterFunc(patience, func() { x.place.worker.Post(s.root.Delete) })
	}
}

// settle ends the instance once its last root is gone, if it is retired, or
// the place.
func (x *instance) settle() {
	if x.leaving && !x.ended && len(x.roots) == 0 {
		x.leave()
		x.Close()
	}
	x.place.settle()
}

// leave takes the instance out of service, however it came to that.
func (x *instance) leave() {
	p := x.place
	n := p.worker.Index()
	for _, s := range x.roots {
		if s.use.seats[n] == s {
			s.use.seats[n] = nil
		}
	}
	x.roots, x.ended = nil, true
	if p.instance == x {
		p.instance = nil
	}
	p.retired = slices.DeleteFunc(p.retired, func(other *instance) bool { return other == x })
	p.vm.maker.metrics.instances.Add(-1)
}
