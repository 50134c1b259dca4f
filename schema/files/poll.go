package files

import (
	"context"
	"os"
	"slices"
	"time"
)

// fingerprint tells one state of a tree from another by looking at its files
// without reading them.
type fingerprint []mark

type mark struct {
	candidate candidate
	stamp     stamp
	// settled is part of it, so that a file whose stamp cannot tell whether it
	// changed again right after the look counts as changed once it can.
	settled bool
	problem problem
}

func takeFingerprint(ctx context.Context, s *scanner) (fingerprint, error) {
	found, err := s.scan(ctx)
	if err != nil {
		return nil, err
	}
	look := append(found.files, found.others...)
	marks := make(fingerprint, len(look))
	inParallel(len(marks), func(i int) { marks[i] = lookAt(look[i]) })
	for _, d := range found.findings {
		marks = append(marks, mark{problem: problem{code: d.Code, message: d.File + ": " + d.Message}})
	}
	return marks, nil
}

func lookAt(c candidate) mark {
	m := mark{candidate: c}
	if c.real == "" {
		return m
	}
	at := time.Now()
	info, err := os.Stat(c.real)
	if err != nil {
		m.problem = unreadable(err)
		return m
	}
	m.stamp = stampOf(info)
	m.settled = m.stamp.settled(at)
	return m
}

func (f fingerprint) equal(g fingerprint) bool { return slices.Equal(f, g) }
