package status_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meshc/meshc/runtime/status"
)

func TestPlugins(t *testing.T) {
	var b status.Board
	if b.Plugins() == nil || len(b.Plugins()) != 0 {
		t.Error("no fault is not an empty list")
	}
	at := func(second int64) time.Time { return time.Unix(second, 0) }
	b.AddFault("wasm", "default/b", status.Fault{Time: at(1), Reason: "trap", Detail: "unreachable", Restart: at(2)})
	b.AddFault("wasm", "default/b", status.Fault{Time: at(3), Reason: "timeout", Detail: "too long"})
	b.AddFault("wasm", "default/b", status.Fault{Time: at(4), Reason: "trap", Detail: "again"})
	b.AddFault("wasm", "default/a", status.Fault{Time: at(5), Reason: "memory"})
	list := b.Plugins()
	if len(list) != 2 || list[0].Name != "default/a" {
		t.Fatalf("plugins %+v", list)
	}
	if p := list[1]; p.Faults["trap"] != 2 || p.Faults["timeout"] != 1 || p.Last.Detail != "again" || !p.Last.Restart.IsZero() {
		t.Errorf("%+v", p)
	}
	list[1].Faults["trap"] = 100
	if b.Plugins()[1].Faults["trap"] != 2 {
		t.Error("the board shares its counts")
	}
}

func TestPluginsAreBounded(t *testing.T) {
	var b status.Board
	for i := range 1100 {
		b.AddFault("wasm", fmt.Sprint("p", i), status.Fault{Time: time.Unix(int64(i), 0), Reason: "trap"})
	}
	list := b.Plugins()
	if len(list) != 1000 {
		t.Errorf("%d plugins are remembered", len(list))
	}
	for _, p := range list {
		if p.Name == "p0" {
			t.Error("the oldest is remembered")
		}
	}
	var c status.Board
	for i := range 100 {
		c.AddFault("wasm", "p", status.Fault{Reason: fmt.Sprint("reason ", i), Detail: strings.Repeat("ä", 5000)})
	}
	p := c.Plugins()[0]
	if len(p.Faults) > 17 || p.Faults["other"] != 84 || len(p.Last.Detail) > 1024 {
		t.Errorf("%d reasons, %d others, %d bytes", len(p.Faults), p.Faults["other"], len(p.Last.Detail))
	}
}
