package host

import (
	"time"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
)

// timer is the tick of a root. The next tick is set off when the last is over,
// so that they never pile up.
type timer struct {
	period time.Duration
	timer  *time.Timer
}

func setTickPeriod(i *Instance, p []uint64) abi.Status {
	r := i.current.root
	if r == nil {
		return abi.BadArgument
	}
	r.stopTimer()
	period := time.Duration(uint32(p[0])) * time.Millisecond
	if period == 0 || i.on[onTick].fn == nil && !i.starting || r.deleted {
		return abi.Ok
	}
	t := &timer{period: period}
	t.timer = time.AfterFunc(period, func() { i.post(func() { r.tick(t) }) })
	r.timer = t
	return abi.Ok
}

// tick is the timer's event; t may have been replaced meanwhile.
func (r *Root) tick(t *timer) {
	if r.timer != t {
		return
	}
	r.notify(onTick)
	if r.timer == t && r.instance.trap == nil {
		t.timer.Reset(t.period)
	}
}

func (r *Root) stopTimer() {
	if r.timer != nil {
		r.timer.timer.Stop()
		r.timer = nil
	}
}
