package proxy

import (
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TCP connections and UDP sessions are counted by what they carry; and of a
// listener that has gone nothing is left.
func TestMetricsOfWhatIsCarried(t *testing.T) {
	w := udpWorld("127.0.0.1", freePort(t, "udp"), nil, udpBackend(t, "u"))
	w.cluster("db", echo(t))
	w.tcp("tcp", "db")
	p := run(t, w)
	c := dial(t, p.address(t, "tcp"))
	c.Write([]byte("twelve bytes"))
	if _, err := io.ReadFull(c, make([]byte, 12)); err != nil {
		t.Fatal(err)
	}
	open := metricsOf(t, p)
	if open["connections_active listener=tcp"] != 1 || open["upstream_connections_active cluster=db"] != 1 {
		t.Errorf("while a connection is open: %v", open)
	}
	c.Close()
	u, err := net.Dial("udp", p.address(t, "udp"))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	ask(t, u, "four") // maybe more than once
	until(t, "all is counted", func() bool {
		got := metricsOf(t, p)
		return got["carried_duration_seconds listener=tcp protocol=tcp service=db"] == 1 && got["sent_datagrams_total listener=udp service=dns"] >= 1
	})
	got := metricsOf(t, p)
	sent := got["received_datagrams_total listener=udp service=dns"]
	for name, want := range map[string]float64{
		"received_bytes_total listener=tcp service=db":  12,
		"sent_bytes_total listener=tcp service=db":      12,
		"received_bytes_total listener=udp service=dns": 4 * sent,
		"upstream_connections_active cluster=db":        0,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if sent < 1 {
		t.Errorf("%v datagrams came", sent)
	}
	w.dataplane = nil
	publish(t, p, w)
	until(t, "the listeners that have gone are forgotten", func() bool {
		return !slices.ContainsFunc(slices.Collect(maps.Keys(metricsOf(t, p))), func(name string) bool {
			return strings.Contains(name, "=tcp") || strings.Contains(name, "=udp") || strings.Contains(name, "=db")
		})
	})
}

// METRICS.md names every metric, and no other.
func TestMetricsAreListed(t *testing.T) {
	text, err := os.ReadFile("METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) > 3 && strings.Contains(cells[1], "`") {
			for name := range strings.SplitSeq(cells[1], ",") {
				listed["meshc_proxy_"+strings.Trim(name, " `")] = true
			}
		}
	}
	described := make(chan *prometheus.Desc, 100)
	newMetrics().Describe(described)
	close(described)
	for d := range described {
		_, name, _ := strings.Cut(d.String(), `fqName: "`)
		name, _, _ = strings.Cut(name, `"`)
		if !listed[name] {
			t.Errorf("%s is not listed", name)
		}
		delete(listed, name)
	}
	for name := range listed {
		t.Errorf("there is no %s", name)
	}
}
