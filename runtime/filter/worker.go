package filter

import (
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Worker is a line in which callbacks run one at a time: those of every Chain
// that is bound to it, and whatever is posted to it. What belongs to one
// worker needs no lock of its own. It is what a worker thread is in Envoy, but
// not a goroutine: the callbacks run in the goroutines of those who bring them.
// The zero Worker is ready.
type Worker struct {
	index    int
	panicked func(value any, stack []byte)

	// mu is held while a callback runs; enter and leave go around it.
	mu      sync.Mutex
	asking  []*Chain // those whose filters asked for a reply
	changed []*Chain // those whose hosts are to be woken
	turn    []task   // what is being run of what was posted, from next on
	next    int
	spare   []task // storage for queue.tasks

	relieving atomic.Bool // a goroutine waits for its turn to run what was posted

	// What is left to whoever holds mu. The lock of the queue is never held
	// while anything else runs.
	queue struct {
		sync.Mutex
		tasks  []task
		posted atomic.Bool // tasks is not empty, or something of turn is left
	}
}

// task is something posted: f as a callback of chain, or of the worker alone
// where chain is nil; without f, what its kind says.
type task struct {
	kind      taskKind
	direction Direction
	chain     *Chain
	slot      *slot
	n         int
	f         func()
}

type taskKind uint8

const (
	taskFunc taskKind = iota
	taskContinue
	taskPass
	taskReset
	taskNone // it has been run out of turn
)

// maxRounds is how often one goroutine looks for what others have posted
// before it leaves that to a new one: it has work of its own.
const maxRounds = 8

// turnTime is how long what was posted runs before the worker is anybody's again,
// if a task does not take longer: else filters with slow tasks, or whose tasks
// bring up tasks, would keep it from Do and from all other streams.
const turnTime = time.Millisecond

// maxSpare bounds the storage that a queue keeps when it is empty.
const maxSpare = 256

// Index returns the worker's number among its Workers, from 0.
func (w *Worker) Index() int { return w.index }

// Post runs f as a callback: here and now when nothing runs in the worker,
// else in the goroutine of whoever is in it. It never waits, and may be called
// from anywhere, callbacks included, but with no lock held that a callback of
// the worker takes.
func (w *Worker) Post(f func()) { w.post(task{f: f}) }

// Do waits for its turn and runs f as a callback. It must not be called inside one.
func (w *Worker) Do(f func()) {
	w.mu.Lock()
	w.contain(f)
	w.leave(nil, none)
}

// post leaves t to whoever holds mu, or runs it here when nobody does. It
// reports false when the chain of t has ended.
func (w *Worker) post(t task) bool {
	w.queue.Lock()
	if t.chain != nil && t.chain.ended {
		w.queue.Unlock()
		return false
	}
	if t.chain != nil {
		t.chain.posted.Add(1)
	}
	w.queue.tasks = append(w.queue.tasks, t)
	w.queue.posted.Store(true)
	w.queue.Unlock()
	if w.mu.TryLock() {
		w.leave(nil, none)
	}
	return true
}

// wakeup is a host to be woken.
type wakeup struct {
	chain   *Chain
	changed [2]bool
}

// leave finishes what was begun and runs what was posted while mu was held,
// for whichever chain, unlocks it, and wakes the hosts for the directions that
// changed, except direction d of own, whose feeder is the caller and is going
// to look. (Whoever just has looked is to be woken: what is posted meanwhile
// comes after the look.)
func (w *Worker) leave(own *Chain, d Direction) {
	if len(w.asking) == 0 && len(w.changed) == 0 && !w.queue.posted.Load() {
		w.mu.Unlock()
		// Whoever posted between the last look and Unlock found mu taken and
		// relies on this goroutine.
		if !w.queue.posted.Load() || !w.mu.TryLock() {
			return
		}
	}
	w.settle()
	var mine [2]bool
	var others []wakeup
	for round := 0; ; round++ {
		left := w.runPosted()
		if left && own != nil {
			w.runPostedTo(own) // its host relies on that
		}
		for _, c := range w.changed {
			if c == own {
				mine[0], mine[1] = mine[0] || c.changed[0], mine[1] || c.changed[1]
			} else {
				others = append(others, wakeup{c, c.changed})
			}
			c.changed, c.listed = [2]bool{}, false
		}
		clear(w.changed)
		w.changed = w.changed[:0]
		w.mu.Unlock()
		if !w.queue.posted.Load() { // as above
			break
		}
		if left || round == maxRounds {
			if w.relieving.CompareAndSwap(false, true) {
				go w.relieve()
			}
			break
		}
		if !w.mu.TryLock() {
			break
		}
	}
	if d != none {
		mine[d] = false
	}
	own.wake(mine)
	for _, o := range others {
		o.chain.wake(o.changed)
	}
}

// relieve takes over from a goroutine that has run enough for others.
func (w *Worker) relieve() {
	w.mu.Lock()
	w.relieving.Store(false)
	w.leave(nil, none)
}

// runPosted runs what has been posted so far, for one turn, and reports whether
// it has left some of it; mu is held.
func (w *Worker) runPosted() (left bool) {
	if !w.queue.posted.Load() {
		return false
	}
	w.queue.Lock()
	if len(w.turn) == 0 {
		w.turn, w.queue.tasks, w.spare = w.queue.tasks, w.spare, nil
	}
	w.queue.posted.Store(len(w.queue.tasks) > 0)
	w.queue.Unlock()
	var end time.Time
	for n := 0; w.next < len(w.turn); n++ {
		if n == 1 {
			end = time.Now().Add(turnTime)
		} else if n > 1 && time.Now().After(end) {
			w.queue.posted.Store(true)
			return true
		}
		t := &w.turn[w.next]
		w.next++
		w.run(t)
		w.settle()
	}
	clear(w.turn)
	if cap(w.turn) <= maxSpare {
		w.spare = w.turn[:0]
	}
	w.turn, w.next = nil, 0
	return false
}

// runPostedTo runs what has been posted so far to the stream of c, however much
// it is, and nothing else; mu is held.
func (w *Worker) runPostedTo(c *Chain) {
	if c.posted.Load() == 0 {
		return
	}
	for i := w.next; i < len(w.turn); i++ {
		if t := w.turn[i]; t.chain == c {
			w.turn[i] = task{kind: taskNone}
			w.run(&t)
			w.settle()
		}
	}
	var own []task
	w.queue.Lock()
	w.queue.tasks = slices.DeleteFunc(w.queue.tasks, func(t task) bool {
		if t.chain == c {
			own = append(own, t)
		}
		return t.chain == c
	})
	w.queue.Unlock()
	for i := range own {
		w.run(&own[i])
		w.settle()
	}
}

func (w *Worker) run(t *task) {
	if t.chain != nil {
		t.chain.posted.Add(-1)
	}
	switch {
	case t.kind == taskNone:
	case t.kind == taskContinue:
		t.chain.continued(t.direction, t.slot)
	case t.kind == taskPass:
		t.chain.passed(t.direction, t.slot, t.n)
	case t.kind == taskReset:
		t.chain.doReset()
	case t.chain != nil:
		t.chain.contain(t.f)
	default:
		w.contain(t.f)
	}
}

// settle makes the replies that were asked for in what just ran, for
// whichever chain; mu is held, and no callback runs.
func (w *Worker) settle() {
	for i := 0; i < len(w.asking); i++ { // a reply's callbacks may ask for others
		if c := w.asking[i]; c.reply != nil {
			c.settleAlone()
		}
	}
	clear(w.asking)
	w.asking = w.asking[:0]
}

// contain runs f, which belongs to no stream; a panic ends f alone.
func (w *Worker) contain(f func()) {
	defer func() {
		if v := recover(); v != nil {
			report := w.panicked
			if report == nil {
				report = logPanic
			}
			report(v, debug.Stack())
		}
	}()
	f()
}

func logPanic(value any, stack []byte) {
	slog.Error("panic in a filter's worker", "panic", value, "stack", string(stack))
}

// Workers are the workers of one process.
type Workers struct {
	list []*Worker
	next atomic.Uint32
}

// NewWorkers returns n workers, at least one.
func NewWorkers(n int) *Workers {
	ws := &Workers{list: make([]*Worker, max(n, 1))}
	for i := range ws.list {
		ws.list[i] = &Worker{index: i}
	}
	return ws
}

// OnPanic has report hear of the panics in what is posted to a worker and
// belongs to no stream. It is called before the workers are used; without it,
// such panics are logged.
func (ws *Workers) OnPanic(report func(value any, stack []byte)) {
	for _, w := range ws.list {
		w.panicked = report
	}
}

// Len returns the number of workers.
func (ws *Workers) Len() int { return len(ws.list) }

// At returns worker i.
func (ws *Workers) At(i int) *Worker { return ws.list[i] }

// Pick returns a worker in which nothing runs, as far as can be seen, or else
// the next in turn.
func (ws *Workers) Pick() *Worker {
	first := int(ws.next.Add(1) % uint32(len(ws.list)))
	for i := range ws.list {
		w := ws.list[(first+i)%len(ws.list)]
		if w.mu.TryLock() {
			w.leave(nil, none) // somebody may have posted, and found mu taken
			return w
		}
	}
	return ws.list[first]
}
