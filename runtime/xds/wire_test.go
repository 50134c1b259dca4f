package xds_test

import (
	"slices"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
)

// deltaWire is the delta protocol for a model.
type deltaWire struct{ c *deltaClient }

func (w *deltaWire) connect(url string, names []string) { w.c.subscribe(url, names...) }

func (w *deltaWire) change(url string, subscribe, unsubscribe []string) {
	w.c.request(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: url, ResourceNamesSubscribe: subscribe, ResourceNamesUnsubscribe: unsubscribe})
}

func (w *deltaWire) answer(m message, refusal string) {
	r := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: m.url, Nonce: m.nonce}
	if refusal != "" {
		w.c.nack(r, refusal)
	} else {
		w.c.ack(r)
	}
}

func (w *deltaWire) receive() (message, error) {
	r, err := w.c.stream.Recv()
	if err != nil {
		return message{}, err
	}
	m := message{url: r.TypeUrl, nonce: r.Nonce, removed: r.RemovedResources, resources: map[string]proto.Message{}}
	for _, res := range r.Resources {
		name, body := unpack(res.Resource)
		m.names = append(m.names, name)
		m.resources[name] = body
	}
	return m, nil
}

func (w *deltaWire) close() { w.c.close() }

// stateWire is the state-of-the-world protocol for a model.
type stateWire struct {
	c *stateClient
	// last is the response of a type that was answered last.
	last map[string]*discoveryv3.DiscoveryResponse
}

func (w *stateWire) connect(url string, names []string) { w.c.ask(url, nil, names...) }

func (w *stateWire) change(url string, subscribe, unsubscribe []string) {
	all := slices.DeleteFunc(slices.Clone(w.c.names[url]), func(n string) bool { return slices.Contains(unsubscribe, n) })
	w.c.ask(url, w.last[url], append(all, subscribe...)...)
}

func (w *stateWire) answer(m message, refusal string) {
	r := &discoveryv3.DiscoveryResponse{TypeUrl: m.url, Nonce: m.nonce}
	w.last[m.url] = r
	if refusal != "" {
		w.c.nack(r, refusal)
	} else {
		w.c.ack(r)
	}
}

func (w *stateWire) receive() (message, error) {
	r, err := w.c.stream.Recv()
	if err != nil {
		return message{}, err
	}
	m := message{url: r.TypeUrl, nonce: r.Nonce, whole: r.TypeUrl == cds || r.TypeUrl == lds, resources: map[string]proto.Message{}}
	for _, a := range r.Resources {
		name, body := unpack(a)
		m.names = append(m.names, name)
		m.resources[name] = body
	}
	return m, nil
}

func (w *stateWire) close() { w.c.close() }
