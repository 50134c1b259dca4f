package host

import (
	"sync/atomic"
	"time"
)

// What the host does for a guest takes time that costs the guest no fuel: a
// call, the bytes that it moves, and what it works out. It is counted in about
// nanoseconds. The clock of the running call is looked at whenever a budget has
// been spent, so that a guest that does nothing but ask for costly things is
// stopped as any other; a call that spends less never asks for the time.
const (
	budget   = 1 << 20
	callCost = 256 // of any call
	// Of what has more to be made or looked up than a call mostly has.
	heavyCost = 16 * callCost
	pairsCost = 4 // of a byte that becomes a header map
)

// ofBytes is what moving n bytes costs.
func ofBytes(n int) int { return n >> 2 }

// spend counts work before it is done, and panics with errTimeout where the
// running call has taken too long.
func (i *Instance) spend(n int) {
	if i.spent += n; i.spent < budget {
		return
	}
	i.spent = 0
	i.look()
}

// look compares the clock with the deadline of the running call, or starts it.
func (i *Instance) look() {
	now := time.Now()
	if f := i.config.Now; f != nil {
		now = f()
	}
	if i.deadline.IsZero() {
		i.deadline = now.Add(i.timeout)
	} else if now.After(i.deadline) {
		panic(errTimeout)
	}
}

// Account is what the host keeps in memory for the guests of one VM, in bytes of
// the sizes that they choose: properties, calls in flight and their answers,
// messages, replies, expressions, and what they add to bodies. It is the VM's
// and not an instance's, for a stream with its properties may outlive the
// instance. It is safe for concurrent use.
type Account struct {
	limit int64
	held  atomic.Int64
}

// minAccount is the least that an account allows: about the largest answer to a
// call, so that those of small guests come through.
const minAccount = 32 << 20

// NewAccount returns an account for instances with so much memory each: the host
// may keep as much for them as they may themselves.
func NewAccount(memory uint64, instances int) *Account {
	return &Account{limit: max(int64(memory)*int64(instances), minAccount)}
}

// hold takes n bytes, or gives back -n; it reports false, and takes nothing,
// where there is no room.
func (a *Account) hold(n int) bool {
	if n == 0 {
		return true
	}
	if a.held.Add(int64(n)) > a.limit && n > 0 {
		a.held.Add(int64(-n))
		return false
	}
	return true
}
