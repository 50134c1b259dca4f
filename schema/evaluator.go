package schema

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	rules "github.com/meshc/meshc/schema/cue"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/internal/parse"
)

// cueBudget is how long the .cue files of one directory may take to evaluate.
// Ten thousand documents take some seconds; a few lines can take for ever.
const cueBudget = 20 * time.Second

// evaluator evaluates CUE, one directory at a time. An evaluation cannot be
// stopped from outside: one that takes too long is left to itself, and no other
// begins until it has ended, so that there is never more than one.
type evaluator struct {
	budget time.Duration
	free   chan struct{} // holds one token while nothing is evaluated
}

func newEvaluator(budget time.Duration) *evaluator {
	e := &evaluator{budget: budget, free: make(chan struct{}, 1)}
	e.free <- struct{}{}
	return e
}

// evaluation is the outcome of one.
type evaluation struct {
	docs     []parse.CUEDocument
	problems []parse.CUEProblem
}

// evaluate returns what the .cue files of one directory say. It returns
// nothing when ctx ends, and a finding when the budget is spent.
func (e *evaluator) evaluate(ctx context.Context, in []parse.CUEFile) ([]parse.CUEDocument, []parse.CUEProblem) {
	budget := time.NewTimer(e.budget)
	defer budget.Stop()
	select {
	case <-e.free:
	case <-ctx.Done():
		return nil, nil
	case <-budget.C:
		return nil, tooLong("waited %s for an earlier evaluation of CUE, which has not ended", e.budget)
	}
	done := make(chan evaluation, 1)
	go func() {
		docs, problems := parse.CUE(filepath.Dir(in[0].Path), in, rules.FS)
		e.free <- struct{}{}
		done <- evaluation{docs, problems}
	}()
	select {
	case r := <-done:
		return r.docs, r.problems
	case <-ctx.Done():
		return nil, nil
	case <-budget.C:
		return nil, tooLong("the evaluation of these CUE files did not end within %s", e.budget)
	}
}

func tooLong(format string, budget time.Duration) []parse.CUEProblem {
	return []parse.CUEProblem{{Diagnostic: diag.Diagnostic{
		Code: diag.CodeCUE, Message: fmt.Sprintf(format, budget),
		Hint: "make what is computed smaller, or export it to YAML beforehand (cue export --out yaml)",
	}}}
}
