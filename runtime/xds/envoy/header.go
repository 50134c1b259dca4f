package envoy

import (
	"fmt"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/meshc/meshc/compiler/snapshot"
)

// headerChanges returns h in the order in which Envoy makes changes: it
// removes first.
func headerChanges(h snapshot.HeaderChanges) (add []*corev3.HeaderValueOption, remove []string, err error) {
	for _, name := range h.Remove.All() {
		if err := changeable(name); err != nil {
			return nil, nil, err
		}
		remove = append(remove, name)
	}
	for _, list := range []struct {
		fields snapshot.List[snapshot.HeaderField]
		action corev3.HeaderValueOption_HeaderAppendAction
	}{
		{h.Set, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD},
		{h.Add, corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD},
	} {
		for _, f := range list.fields.All() {
			if err := changeable(f.Name); err != nil {
				return nil, nil, err
			}
			add = append(add, &corev3.HeaderValueOption{
				// A percent sign begins a variable of Envoy's.
				Header:         &corev3.HeaderValue{Key: f.Name, Value: strings.ReplaceAll(f.Value, "%", "%%")},
				AppendAction:   list.action,
				KeepEmptyValue: true,
			})
		}
	}
	return add, remove, nil
}

// changeable reports the names that Envoy refuses with the whole resource.
func changeable(name string) error {
	if strings.HasPrefix(name, ":") || strings.EqualFold(name, "host") {
		return fmt.Errorf("Envoy does not let header %q be changed by its name", name)
	}
	return nil
}
