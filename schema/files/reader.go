package files

import (
	"cmp"
	"context"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshc/meshc/schema/diag"
)

// maxPasses is how often a tree is gone through before it is given up as one
// that does not hold still. The pauses between the passes double from 2 ms, so
// giving up takes about half a second.
const maxPasses = 10

// patience is how long a file that has just been emptied is waited for:
// most editors empty a file and then write it, and an input without its
// documents is not a wrong one.
const patience = 500 * time.Millisecond

// Reader reads a tree again and again, at a cost that follows what changed
// since the last time. It may not be used by two goroutines at once.
//
// A read is a pass over the tree, repeated until two passes in a row find the
// same: the same files, each in the same state. All of them were in that state
// at once, at a moment between the two passes.
type Reader struct {
	scanner *scanner
	stdin   *stdin
	last    *pass
	// patience is as the constant.
	patience time.Duration
	// afterPass, if set, is called after each pass: for tests, which change
	// the tree at that moment.
	afterPass func()
}

// pass is the outcome of going through the tree once.
type pass struct {
	found    *found
	contents []*content // of found.files
}

// NewReader returns a Reader of roots: files, directories, and "-" for stdin,
// which may be nil where "-" is not used. No roots at all means ".".
func NewReader(roots []string, stdin io.Reader) *Reader {
	return &Reader{scanner: newScanner(roots), stdin: newStdin(stdin), patience: patience}
}

// Read returns the tree as it was at one moment. It fails only with ctx;
// whatever is wrong with the input is in the Tree. A file is read again only
// when its device, inode, size, modification or change time differ; standard
// input is read once.
func (r *Reader) Read(ctx context.Context) (Tree, error) {
	enough := time.Now().Add(r.patience)
	for n := 1; ; n++ {
		next, err := r.pass(ctx)
		if err != nil {
			return Tree{}, err
		}
		if r.afterPass != nil {
			r.afterPass()
		}
		before := r.last
		r.last = next
		if before != nil && next.same(before) {
			if now := time.Now(); now.Before(enough) && next.emptiedSince(now.Add(-r.patience)) {
				n = 1
				if err := pause(ctx, 10*time.Millisecond); err != nil {
					return Tree{}, err
				}
				continue
			}
			next.believeEmptied()
			return r.tree(ctx, next, nil)
		}
		if n == maxPasses {
			return r.tree(ctx, next, before)
		}
		if n > 1 {
			if err := pause(ctx, time.Millisecond<<(n-1)); err != nil {
				return Tree{}, err
			}
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// pass goes through the tree once.
func (r *Reader) pass(ctx context.Context) (*pass, error) {
	found, err := r.scanner.scan(ctx)
	if err != nil {
		return nil, err
	}
	p := &pass{found, make([]*content, len(found.files))}
	old := r.known(found.files)
	inParallel(len(found.files), func(i int) {
		switch c := &found.files[i]; {
		case ctx.Err() != nil:
		case c.real == "":
			p.contents[i] = &content{problem: c.problem}
		default:
			p.contents[i] = load(c.real, old(i))
		}
	})
	return p, ctx.Err()
}

// known returns a function that says what the last pass knows of files[i].
func (r *Reader) known(files []candidate) func(i int) *content {
	switch {
	case r.last == nil:
		return func(int) *content { return nil }
	case slices.Equal(r.last.found.files, files):
		return func(i int) *content { return r.last.contents[i] }
	}
	byPath := make(map[string]*content, len(r.last.contents))
	for i, c := range r.last.contents {
		byPath[r.last.found.files[i].real] = c
	}
	return func(i int) *content { return byPath[files[i].real] }
}

// inParallel calls do for 0 to n-1 on all processors.
func inParallel(n int, do func(i int)) {
	const block = 128
	workers := min(runtime.GOMAXPROCS(0), n/block)
	if workers <= 1 {
		for i := range n {
			do(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				from := int(next.Add(block)) - block
				if from >= n {
					return
				}
				for i := from; i < min(from+block, n); i++ {
					do(i)
				}
			}
		})
	}
	wg.Wait()
}

// same reports whether two passes found the same state.
func (p *pass) same(q *pass) bool {
	return p.found.vanished == q.found.vanished &&
		slices.Equal(p.found.files, q.found.files) &&
		slices.EqualFunc(p.contents, q.contents, (*content).same) &&
		slices.EqualFunc(p.found.findings, q.found.findings, func(a, b diag.Diagnostic) bool {
			return a.Place == b.Place && a.Code == b.Code && a.Message == b.Message
		})
}

// emptiedSince reports whether a file was emptied after the moment at.
func (p *pass) emptiedSince(at time.Time) bool {
	return slices.ContainsFunc(p.contents, func(c *content) bool { return c.emptied && c.stamp.ctime > at.UnixNano() })
}

// believeEmptied has no later Read wait for the files that are empty in p.
func (p *pass) believeEmptied() {
	for i, c := range p.contents {
		if c.emptied {
			believed := *c
			believed.emptied = false
			p.contents[i] = &believed
		}
	}
}

// tree words the outcome. unlike is the pass before, if the tree did not hold still.
func (r *Reader) tree(ctx context.Context, p, unlike *pass) (Tree, error) {
	t := Tree{Vanished: p.found.vanished, Diagnostics: slices.Clone(p.found.findings)}
	add := func(name, shown string, named bool, c *content) {
		if c.problem.code != "" {
			t.Diagnostics = append(t.Diagnostics, c.problem.at(shown))
			return
		}
		t.Files = append(t.Files, File{Name: name, Shown: shown, Named: named, Data: c.data, Sum: c.sum})
	}
	for i, f := range p.found.files {
		add(f.name, f.shown, f.named, p.contents[i])
	}
	if p.found.stdin {
		c, err := r.stdin.read(ctx)
		if err != nil {
			return Tree{}, err
		}
		add("stdin", StdinShown, true, c)
	}
	if unlike != nil {
		t.Diagnostics = append(t.Diagnostics, restless.at(r.culprit(p, unlike)))
	}
	if len(t.Files) == 0 && len(t.Diagnostics) == 0 {
		t.Diagnostics = append(t.Diagnostics, noInput.at(r.rootsTyped()))
	}
	slices.SortFunc(t.Files, func(a, b File) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Shown, b.Shown))
	})
	diag.Sort(t.Diagnostics)
	return t, nil
}

var (
	restless = problem{code: diag.CodeUnreadable, message: "keeps changing while it is read",
		hint: "write the file anew elsewhere and rename it over the old one"}
	noInput = problem{code: diag.CodeNoInput, message: "no input file here",
		hint: "name a file or directory with .yaml, .yml, .json or .cue files"}
)

// culprit names the first file in which two passes differ, or else the roots.
func (r *Reader) culprit(p, q *pass) string {
	if slices.Equal(p.found.files, q.found.files) {
		for i, f := range p.found.files {
			if !p.contents[i].same(q.contents[i]) {
				return f.shown
			}
		}
	}
	return r.rootsTyped()
}

func (r *Reader) rootsTyped() string {
	var typed []string
	for _, root := range r.scanner.roots {
		typed = append(typed, root.typed)
	}
	return strings.Join(typed, ", ")
}

// stdin is standard input, which can be read only once.
type stdin struct {
	from  io.Reader
	start sync.Once
	done  chan struct{}
	c     content
}

func newStdin(from io.Reader) *stdin {
	if from == nil {
		from = strings.NewReader("")
	}
	return &stdin{from: from, done: make(chan struct{})}
}

// read waits for the end of standard input. If ctx ends first, the reading
// goes on behind the scenes, for there is no way to interrupt it, and a later
// call gets the whole.
func (s *stdin) read(ctx context.Context) (*content, error) {
	s.start.Do(func() {
		go func() {
			defer close(s.done)
			s.c.readFrom(s.from, 0)
		}()
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.done:
		return &s.c, nil
	}
}
