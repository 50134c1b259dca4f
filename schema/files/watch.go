package files

import (
	"cmp"
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/meshc/meshc/schema/diag"
)

// How a change was noticed, as Changes tells it.
const (
	ByEvent = "watch" // by an event of the operating system
	ByPoll  = "poll"  // by looking at every file once in a while
)

// WatchOptions says how a tree is watched. The zero value of each field is
// good for a person at an editor.
type WatchOptions struct {
	// Poll, if greater than zero, is how often the tree is looked at, for file
	// systems where events do not arrive. Zero means events.
	Poll time.Duration
	// A burst of changes ends when nothing happened for Quiet (20 ms if
	// zero), and is cut short MaxDelay (500 ms if zero) after its start.
	Quiet, MaxDelay time.Duration
	// Log gets what goes wrong with the watching itself. Nil discards it.
	Log *slog.Logger
}

// fallbackPoll is how often the tree is looked at where events were asked for
// and cannot be had.
const fallbackPoll = time.Second

// Watcher says when a tree may have changed.
type Watcher struct {
	changes chan string
	also    chan []*Named // holds the last that nobody has taken up
	cancel  context.CancelFunc
	done    chan struct{}
}

// Watch starts to watch the tree below roots, which are as for [NewReader].
// Every change made after it returns, and not seen by an earlier Read, is
// followed by a value from Changes: so start the watch, then Read, then Read
// again whenever Changes says so. It ends with ctx or by Close.
//
// The only errors are those of ctx. Where the system has no more watches to
// give, it says so to the log once and polls.
func Watch(ctx context.Context, roots []string, o WatchOptions) (*Watcher, error) {
	return watch(ctx, roots, o, newNotifier)
}

func watch(ctx context.Context, roots []string, o WatchOptions, events func() (*notifier, error)) (*Watcher, error) {
	ctx, cancel := context.WithCancel(ctx)
	w := &Watcher{changes: make(chan string, 1), also: make(chan []*Named, 1), cancel: cancel, done: make(chan struct{})}
	l := &watchLoop{
		options: WatchOptions{
			Poll:  o.Poll,
			Quiet: cmp.Or(o.Quiet, 20*time.Millisecond), MaxDelay: cmp.Or(o.MaxDelay, 500*time.Millisecond),
			Log: cmp.Or(o.Log, slog.New(slog.DiscardHandler)),
		},
		scanner: newScanner(roots),
		changes: w.changes,
		also:    w.also,
	}
	if err := l.start(ctx, events); err != nil {
		cancel()
		l.stop()
		return nil, err
	}
	go func() {
		defer close(w.done)
		defer l.stop()
		l.run(ctx)
	}()
	return w, nil
}

// Changes returns the channel that gets ByEvent or ByPoll once a burst of
// changes is over. It holds one value: bursts that nobody has asked about yet
// are one. It is never closed.
func (w *Watcher) Changes() <-chan string { return w.changes }

// Also makes the Watcher watch these files as well, wherever they are, instead
// of those that it was given before. What has changed since they were read, or
// changes from now on, is followed by a value from Changes. It does not wait,
// and is for one caller at a time.
func (w *Watcher) Also(files []*Named) {
	select {
	case <-w.also:
	default:
	}
	w.also <- files
}

// Close ends the watch and waits until everything it held is given back.
func (w *Watcher) Close() error {
	w.cancel()
	<-w.done
	return nil
}

// watchLoop is the goroutine behind a Watcher. It works in one of two modes:
// with subscription set, by events; without, by polling.
type watchLoop struct {
	options WatchOptions
	scanner *scanner
	changes chan<- string
	also    <-chan []*Named

	subscription *subscription
	ticker       *time.Ticker
	seen         fingerprint
}

func (l *watchLoop) start(ctx context.Context, events func() (*notifier, error)) error {
	if l.options.Poll > 0 {
		return l.startPolling(ctx, l.options.Poll)
	}
	n, err := events()
	if err == nil {
		l.subscription = subscribe(n, l.options.Log)
		err = l.subscription.update(ctx, l.scanner)
	}
	if err != nil {
		return l.giveUpEvents(ctx, err)
	}
	return nil
}

// giveUpEvents turns to polling.
func (l *watchLoop) giveUpEvents(ctx context.Context, why error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	needed := 0
	if l.subscription != nil {
		needed = l.subscription.size()
		l.subscription.close()
		l.subscription = nil
	}
	code, advice := diag.CodeUnreadable, "changes are noticed later"
	if isLimit(why) {
		code, advice = diag.CodeWatchLimit, limitAdvice(why)
	}
	l.options.Log.Error("cannot watch for changes; polling instead", "code", code, "error", why.Error(),
		"advice", advice, "directories", needed, "poll", fallbackPoll)
	return l.startPolling(ctx, fallbackPoll)
}

func (l *watchLoop) startPolling(ctx context.Context, every time.Duration) (err error) {
	l.seen, err = takeFingerprint(ctx, l.scanner)
	l.ticker = time.NewTicker(every)
	return err
}

func (l *watchLoop) stop() {
	if l.subscription != nil {
		l.subscription.close()
	}
	if l.ticker != nil {
		l.ticker.Stop()
	}
}

// run gathers changes into bursts until ctx ends.
func (l *watchLoop) run(ctx context.Context) {
	var burst burst
	for {
		var events <-chan struct{}
		var ticks <-chan time.Time
		if l.subscription != nil {
			events = l.subscription.dirty
		} else {
			ticks = l.ticker.C
		}
		select {
		case <-ctx.Done():
			return
		case <-events:
			burst.extend(l.options)
		case files := <-l.also:
			if l.include(ctx, files) {
				burst.extend(l.options)
			}
		case <-ticks:
			if l.moved(ctx) {
				burst.extend(l.options)
			}
		case <-burst.over:
			if l.subscription == nil && !burst.overdue() && l.moved(ctx) {
				burst.extend(l.options)
				continue
			}
			burst = burst.end()
			l.announce(ctx)
		}
	}
}

// include watches files, and reports whether one that was not watched before
// has changed since it was read.
func (l *watchLoop) include(ctx context.Context, files []*Named) (changed bool) {
	known := make(map[string]bool, len(l.scanner.also))
	for _, path := range l.scanner.also {
		known[path] = true
	}
	paths := make([]string, 0, len(files))
	var fresh []*Named
	for _, n := range files {
		path, err := filepath.Abs(n.Path)
		if err != nil {
			continue // the working directory is gone
		}
		paths = append(paths, path)
		if !known[path] {
			fresh = append(fresh, n)
		}
	}
	if len(fresh) == 0 && len(paths) == len(known) {
		return false
	}
	l.scanner.also = paths
	if l.subscription != nil {
		if err := l.subscription.update(ctx, l.scanner); err != nil {
			return l.giveUpEvents(ctx, err) == nil
		}
	} else if now, err := takeFingerprint(ctx, l.scanner); err == nil {
		changed = !slices.Equal(now.tree, l.seen.tree)
		l.seen = now
	}
	return changed || slices.ContainsFunc(fresh, (*Named).changed)
}

// announce tells the one who waits. The subscription is brought up to date
// first: what changes after it, in a directory that has only just appeared,
// makes an event of its own; what changed before it is seen by the Read that
// follows.
func (l *watchLoop) announce(ctx context.Context) {
	if l.subscription != nil {
		if err := l.subscription.update(ctx, l.scanner); err != nil && l.giveUpEvents(ctx, err) != nil {
			return
		}
	}
	by := ByEvent
	if l.subscription == nil {
		by = ByPoll
	}
	select {
	case l.changes <- by:
	default:
	}
}

// moved reports whether the tree differs from when it was last looked at.
func (l *watchLoop) moved(ctx context.Context) bool {
	now, err := takeFingerprint(ctx, l.scanner)
	if err != nil || now.equal(l.seen) {
		return false
	}
	l.seen = now
	return true
}

// burst is a run of changes that is not over yet. The zero burst is none.
type burst struct {
	timer *time.Timer
	over  <-chan time.Time
	limit time.Time
}

// extend begins the burst or lets it last a little longer.
func (b *burst) extend(o WatchOptions) {
	now := time.Now()
	if b.timer == nil {
		b.limit = now.Add(o.MaxDelay)
		b.timer = time.NewTimer(min(o.Quiet, o.MaxDelay))
		b.over = b.timer.C
		return
	}
	b.timer.Reset(max(0, min(o.Quiet, b.limit.Sub(now))))
}

// overdue reports whether the burst may not be extended any more.
func (b *burst) overdue() bool { return !time.Now().Before(b.limit) }

func (b *burst) end() burst {
	b.timer.Stop()
	return burst{}
}
