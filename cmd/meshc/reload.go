package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/status"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/files"
)

// reloader turns changes of the input into publications. It is the one place
// where snapshots replace one another.
type reloader struct {
	*server
	watcher *files.Watcher // nil with --watch=false
	signals chan os.Signal

	serving snapshot.Snapshot // what was published last
	ok      bool              // something was
	had     int               // documents that the last good input had
	unmet   string            // --dataplane patterns that matched nothing then
	told    map[string]bool   // the warnings of the load before
	exposed bool              // keys stood open when what serves was published
}

// errStopped says that a signal came before there was anything to serve.
var errStopped = &exitError{code: exitOK}

func newReloader(ctx context.Context, s *server) (*reloader, error) {
	r := &reloader{server: s, signals: make(chan os.Signal, 1)}
	signal.Notify(r.signals, syscall.SIGHUP)
	if !s.c.Bool("watch") {
		return r, nil
	}
	w, err := files.Watch(ctx, s.c.Args().Slice(), files.WatchOptions{Poll: s.c.Duration("poll"), Log: s.log})
	if err != nil {
		return nil, fmt.Errorf("watching the input: %w", err)
	}
	r.watcher = w
	return r, nil
}

func (r *reloader) close() {
	signal.Stop(r.signals)
	if r.watcher != nil {
		if err := r.watcher.Close(); err != nil {
			r.log.Warn("closing the watch", "error", err)
		}
	}
}

// first loads and publishes for the first time. With bad input, or with input
// that cannot be served, as when a filter refuses its configuration, it falls
// back to the last good snapshot of --state-dir, and without one it gives up.
func (r *reloader) first(ctx context.Context) error {
	inputIsGood := r.attempt(ctx, "start")
	if r.ok {
		return nil
	}
	if ctx.Err() != nil {
		return errStopped
	}
	without, what := errFindings, "the input has errors" // what is wrong has been logged
	if inputIsGood {
		without, what = &exitError{code: exitFailed}, "the input cannot be served"
	}
	path := r.statePath()
	if path == "" {
		return without
	}
	l, err := built{path}.load(ctx)
	switch {
	case err != nil:
		return failed("%v", err)
	case l.vanished:
		r.log.Error(what+", and there is no last good snapshot", "path", path)
		return without
	case diag.HasErrors(l.diags):
		r.log.Error(what+", and the last good snapshot cannot be used", "path", path, "error", l.diags[0].Message)
		return without
	}
	if err := r.publisher.Publish(ctx, l.snapshot); err != nil {
		return failed("publishing the last good snapshot: %v", err)
	}
	r.serving, r.ok, r.had = l.snapshot, true, l.documents
	r.board.AddReload(status.Reload{Time: time.Now(), OK: true, Version: l.snapshot.Version, Trigger: "state-dir", Steps: l.steps})
	r.log.Error(strings.ToUpper(what)+": serving the last good snapshot from before the restart", "version", l.snapshot.Version.Short(), "path", path)
	r.warnExposed()
	return nil
}

// loop reloads at every change until ctx ends. A change that arrives while one
// is being put into effect cancels that and starts anew; but never two times
// in a row, or an input that never rests would never be served.
func (r *reloader) loop(ctx context.Context) {
	var changes <-chan string
	if r.watcher != nil {
		changes = r.watcher.Changes()
	}
	cancel, done := context.CancelFunc(func() {}), make(chan struct{})
	close(done)
	cancelled := false
	for {
		var trigger string
		select {
		case <-ctx.Done():
			cancel()
			<-done
			return
		case trigger = <-changes:
		case <-r.signals:
			trigger = "signal"
		}
		select {
		case <-done:
			cancelled = false
		default:
			if !cancelled {
				cancel()
			}
			cancelled = !cancelled
			<-done
		}
		cancel()
		var attempt context.Context
		attempt, cancel = context.WithCancel(ctx)
		done = make(chan struct{})
		go func() {
			defer close(done)
			r.attempt(attempt, trigger)
		}()
	}
}

// attempt loads the input and publishes it if it is good, which it reports.
// Whatever goes wrong, what was serving goes on serving.
func (r *reloader) attempt(ctx context.Context, trigger string) (inputIsGood bool) {
	l, err := r.in.load(ctx)
	if ctx.Err() != nil {
		return false // a newer change is at hand, or the process ends
	}
	record := status.Reload{Time: time.Now(), Trigger: trigger, Steps: l.steps}
	if err == nil {
		if r.watcher != nil {
			r.watcher.Also(l.named)
		}
		if l.documents == 0 && r.had > 0 && l.summary.Errors == 0 && !r.c.Bool("allow-empty") {
			l.diags = append(l.diags, diag.Diagnostic{
				Code: diag.CodeNoInput, Message: "the input has no documents left", Hint: "say --allow-empty if that is meant",
			})
			l.summary.Errors++
		}
		err = l.refused()
	}
	var changed []string
	inputIsGood = err == nil
	if inputIsGood {
		changed = snapshot.Changes(r.serving, l.snapshot)
		step := stopwatch(&record.Steps)
		if err = r.publisher.Publish(ctx, l.snapshot); errors.Is(err, context.Canceled) {
			return true
		}
		step("publish")
		l.addRefused(err)
	}
	r.recordFindings(l)
	if err != nil {
		record.Version, record.Error = r.serving.Version, err.Error()
		r.board.AddReload(record)
		r.logFailure(err, l)
		return inputIsGood
	}
	first := !r.ok
	r.serving, r.ok, r.had = l.snapshot, true, l.documents
	record.OK, record.Version, record.Changed = true, l.snapshot.Version, changed
	r.board.AddReload(record)
	if !first && len(changed) == 0 {
		r.log.Info("nothing changed", "version", l.snapshot.Version.Short(), "took", stepsText(record.Steps))
	} else {
		r.log.Info("snapshot serves", "version", l.snapshot.Version.Short(), "trigger", trigger, "documents", l.documents,
			"changed", summary(changed), "warnings", l.summary.Warnings, "took", stepsText(record.Steps))
	}
	r.warnUnmet()
	r.warnExposed()
	if first || len(changed) > 0 {
		if err := r.saveState(l.snapshot); err != nil {
			r.log.Warn("could not keep this snapshot for the next start", "error", err)
		}
	}
	return true
}

// refused says why a load must not replace what serves, if so.
func (l *loaded) refused() error {
	switch {
	case l.summary.Errors > 0 && l.vanished:
		return errors.New("the input is not there")
	case l.summary.Errors > 0:
		return fmt.Errorf("the input has errors: %d", l.summary.Errors)
	}
	return nil
}

// recordFindings shows the findings of a load in REST and, as far as they are
// news, as text in the log.
func (r *reloader) recordFindings(l loaded) {
	var buf bytes.Buffer
	if err := diag.Write(&buf, diag.JSON, l.diags, l.summary, diag.Options{}); err != nil {
		r.log.Error("writing findings", "error", err)
		return
	}
	r.board.SetDiagnostics(buf.Bytes())
	l.diags = r.news(l.diags)
	if err := printFindings(r.c.App.ErrWriter, l); err != nil {
		r.log.Error("writing findings", "error", err)
	}
}

// news returns the findings worth showing at this load: all errors, and the
// warnings that the load before did not have. Where in a file one stands does
// not make it new.
func (r *reloader) news(ds []diag.Diagnostic) []diag.Diagnostic {
	var out []diag.Diagnostic
	told := map[string]bool{}
	for _, d := range ds {
		key := strings.Join([]string{d.Code, d.File, d.Path, d.Message}, "\x00")
		switch d.Severity {
		case diag.Error:
			out = append(out, d)
		case diag.Warning:
			if told[key] = true; !r.told[key] {
				out = append(out, d)
			}
		}
	}
	r.told = told
	return out
}

func (r *reloader) logFailure(err error, l loaded) {
	if r.ok {
		r.log.Error("not reloaded: "+err.Error(), "still serving", r.serving.Version.Short(), "took", stepsText(l.steps))
		return
	}
	r.log.Error("cannot serve: " + err.Error())
}

// warnUnmet tells of --dataplane patterns that no proxy of the snapshot meets,
// once until that changes.
func (r *reloader) warnUnmet() {
	var unmet []string
	for _, p := range r.c.StringSlice("dataplane") {
		serve, met := servedBy([]string{p}), false
		for _, px := range r.serving.Proxies.All() {
			met = met || serve(px.ID)
		}
		if !met {
			unmet = append(unmet, p)
		}
	}
	if now := strings.Join(unmet, " "); now != r.unmet {
		r.unmet = now
		if now != "" {
			r.log.Warn("no dataplane of the input is named so", "dataplane", now)
		}
	}
}

// summary names the first few of what changed.
func summary(changed []string) string {
	const most = 5
	if len(changed) <= most {
		return strings.Join(changed, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(changed[:most], ", "), len(changed)-most)
}

func (r *reloader) statePath() string {
	if dir := r.c.String("state-dir"); dir != "" {
		return filepath.Join(dir, "last-good.meshc")
	}
	return ""
}

func (r *reloader) saveState(s snapshot.Snapshot) error {
	path := r.statePath()
	if path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return replaceFile(path, 0o600, func(w io.Writer) error { return snapshot.Write(w, s) })
}
