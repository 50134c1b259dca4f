package filter

import (
	"runtime/debug"
)

// contain runs f, which may call filters, and ends the stream when it panics.
func (c *Chain) contain(f func()) {
	defer c.contained()
	f()
}

// continued is Stream.Continue, when its turn has come.
func (c *Chain) continued(d Direction, s *slot) {
	defer c.contained()
	c.resume(d, s)
}

// passed is passPart outside any callback of this chain.
func (c *Chain) passed(d Direction, s *slot, n int) {
	defer c.contained()
	c.passPart(d, s, n)
}

// settleAlone is settle outside any callback of this chain.
func (c *Chain) settleAlone() {
	defer c.contained()
	c.settle()
}

// contained, deferred, ends the stream where a filter has panicked: with an
// answer where none has left, else by a reset.
func (c *Chain) contained() {
	if v := recover(); v != nil {
		c.host.Panicked(v, debug.Stack())
		c.fail()
	}
}

// reported, deferred, reports a panic where the stream has ended anyway.
func (c *Chain) reported() {
	if v := recover(); v != nil {
		c.host.Panicked(v, debug.Stack())
	}
}
