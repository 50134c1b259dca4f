package proxy

import (
	"bytes"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/meshc/meshc/runtime/filter"
)

// answer is what l gives by itself on r, to a request with these headers.
func (l *listener) answer(p *Proxy, r *route, request *filter.Headers) filter.Reply {
	if r.answer.Metrics {
		return p.scrape(l.proxy)
	}
	return directResponse(r.answer, request)
}

// scrape is a reply with the metrics of one proxy, in Prometheus' text format.
// A cluster that several proxies of this process use alike counts for all of them.
func (p *Proxy) scrape(proxyID string) filter.Reply {
	format := expfmt.NewFormat(expfmt.TypeTextPlain)
	reply := filter.Reply{
		Status: 200, GRPCStatus: -1, Details: "metrics",
		Headers: []filter.Field{{Name: "content-type", Value: string(format)}},
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(ofProxy{p.metrics, proxyID}) // it is alone there
	families, err := registry.Gather()
	var body bytes.Buffer
	encoder := expfmt.NewEncoder(&body, format)
	for _, f := range families {
		if err == nil {
			err = encoder.Encode(f)
		}
	}
	if err != nil {
		p.log.Error("metrics not shown", "proxy", proxyID, "error", err)
		return filter.Reply{Status: 500, GRPCStatus: -1, Details: "metrics"}
	}
	reply.Body = body.Bytes()
	return reply
}

// ofProxy collects the metrics of one proxy.
type ofProxy struct {
	*metrics
	id string
}

// Collect sends the current values.
func (o ofProxy) Collect(ch chan<- prometheus.Metric) { o.collect(ch, o.id) }
