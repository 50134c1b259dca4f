package files

import (
	"context"
	"os"
	"slices"
	"time"
)

// fingerprint tells one state of a tree from another by looking at its files
// without reading them.
type fingerprint struct {
	tree []mark
	also []mark // of the further files of a scanner
}

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
		return fingerprint{}, err
	}
	f := fingerprint{lookAtAll(append(found.files, found.others...)), lookAtAll(found.also)}
	for _, d := range found.findings {
		f.tree = append(f.tree, mark{problem: problem{code: d.Code, message: d.File + ": " + d.Message}})
	}
	return f, nil
}

func lookAtAll(files []candidate) []mark {
	marks := make([]mark, len(files))
	inParallel(len(marks), func(i int) { marks[i] = lookAt(files[i]) })
	return marks
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

func (f fingerprint) equal(g fingerprint) bool {
	return slices.Equal(f.tree, g.tree) && slices.Equal(f.also, g.also)
}
