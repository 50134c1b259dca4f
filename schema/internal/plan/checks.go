package plan

import (
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// Check is a rule written in Go because CUE cannot state it exactly. It gets a
// value with its defaults filled in, and ignores values of a wrong type: that
// has been reported. @check(name) applies one.
type Check func(n *tree.Node, report func(Fault))

// Fault is what a Check has found.
type Fault struct {
	// At is the place inside the checked value: string keys and int indices.
	At      []any
	Code    string
	Class   string // where it is not the one that goes with Code
	Message string
	Hint    string
	// Path is reported instead of the path that At leads to, if set.
	Path    string
	Related []Related
}

// Checks are all checks by name.
var Checks = map[string]Check{
	"annotationSize":     checkAnnotationSize,
	"cidr":               checkCIDR,
	"clusterIPs":         checkClusterIPs,
	"hostIP":             checkHostIP,
	"ip":                 checkIP,
	"ownerReferences":    checkOwnerReferences,
	"serviceAnnotations": checkServiceAnnotations,
	"servicePorts":       checkServicePorts,
	"sliceAddresses":     checkSliceAddresses,
	"sliceHints":         checkSliceHints,
	"slicePorts":         checkSlicePorts,
	"time":               checkTime,
	"topologyKeys":       checkTopologyKeys,
}

// checked is a constraint with checks.
type checked struct {
	constraint
	attributes
}

func withChecks(c constraint, attrs attributes) constraint {
	if len(attrs.checks) == 0 {
		return c
	}
	return &checked{c, attrs}
}

func (c *checked) check(r *run, e int, n *tree.Node) *tree.Node {
	before := len(r.findings)
	n = c.constraint.check(r, e, n)
	if len(r.findings) == before || n.Kind == tree.Map || n.Kind == tree.List {
		r.runChecks(c.checks, n, c.rule)
	}
	return n
}

// runChecks runs checks on n, the value being checked.
func (r *run) runChecks(checks []Check, n *tree.Node, rl *rule) {
	r.checked, r.checkedRule = n, rl
	for _, check := range checks {
		check(n, r.report)
	}
}

// addFault adds what a check has found.
func (r *run) addFault(f Fault) {
	n, depth := r.checked, len(r.path)
	at, holder := n, n
	for _, step := range f.At {
		holder = at
		switch step := step.(type) {
		case string:
			pos := r.inside()
			if x := at.Field(step); x != nil {
				pos = x.KeyPos
			}
			r.enterKey(step, pos, nil)
			at = at.Get(step)
		case int:
			at = at.At(step)
			pos := r.inside()
			if at != nil {
				pos = at.Pos
			}
			r.enterItem(step, pos)
		}
	}
	pos := r.inside()
	if at != nil {
		pos = r.place(at)
	}
	if len(f.At) > 0 && r.faults != nil && (r.faults.unreadable(holder) || r.faults[pos] == diag.CodeType) {
		r.path = r.path[:depth]
		return // what the check looked for may be what is wrong
	}
	r.add(Finding{Code: f.Code, Class: f.Class, Message: f.Message, Hint: f.Hint, Pos: pos, Related: f.Related}, r.checkedRule)
	if f.Path != "" {
		r.findings[len(r.findings)-1].Path = f.Path
	}
	r.path = r.path[:depth]
}
