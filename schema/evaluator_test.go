package schema

import (
	"context"
	"testing"
	"time"

	"github.com/meshc/meshc/schema/internal/parse"
)

// What takes too long is a finding, and does not hold up what comes after it
// for longer than the budget; when it has ended, all is as before.
func TestEvaluationHasABudget(t *testing.T) {
	e := newEvaluator(time.Millisecond)
	<-e.free // an evaluation that does not end
	files := []parse.CUEFile{{Path: "/a.cue", Data: []byte("x: 1")}}
	if _, problems := e.evaluate(t.Context(), files); len(problems) != 1 {
		t.Errorf("waiting for another: %v", problems)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	e.budget = time.Hour
	if docs, problems := e.evaluate(ended, files); docs != nil || problems != nil {
		t.Errorf("cancelled: %v, %v", docs, problems)
	}
	e.free <- struct{}{} // it has ended
	if docs, problems := e.evaluate(t.Context(), files); len(docs) != 1 || len(problems) != 0 {
		t.Errorf("afterwards: %v, %v", docs, problems)
	}
}
