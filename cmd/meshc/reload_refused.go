package main

import (
	"github.com/meshc/meshc/runtime/identity"
	"github.com/meshc/meshc/schema/diag"
)

// addRefused makes findings of what err says of the secrets of l, which only
// shows where they are to be used: an environment variable that is not set, a
// file that another process has just emptied.
func (l *loaded) addRefused(err error) {
	for _, u := range refusals(err) {
		d := diag.Diagnostic{Code: diag.CodeCertificate, Severity: diag.Error, Message: u.Message}
		for _, doc := range l.checked {
			if doc.ID() == u.Document {
				d.Place = doc.Place()
			}
		}
		l.diags = append(l.diags, d)
		l.summary.Errors++
	}
}

// refusals returns what is wrong with secrets and authorities in the tree of err.
func refusals(err error) []*identity.Unusable {
	switch e := err.(type) {
	case *identity.Unusable:
		return []*identity.Unusable{e}
	case interface{ Unwrap() error }:
		return refusals(e.Unwrap())
	case interface{ Unwrap() []error }:
		var all []*identity.Unusable
		for _, one := range e.Unwrap() {
			all = append(all, refusals(one)...)
		}
		return all
	}
	return nil
}
