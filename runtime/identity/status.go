package identity

import (
	"cmp"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// renewals counts what became of the certificates of a mesh that were due.
type renewals struct {
	done, failed uint64
	problem      string
}

func (r *renewals) count(err error) {
	if err != nil {
		r.failed++
		return
	}
	r.done++
}

// Certificate is the certificate of a proxy, as anybody may see it.
type Certificate struct {
	Proxy     string    `json:"proxy"`
	Mesh      string    `json:"mesh"`
	Serial    string    `json:"serial"` // in hex
	URIs      []string  `json:"uris"`
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
	Authority string    `json:"authority"` // "MESH/BACKEND"
}

// Authority is a certificate authority, as anybody may see it.
type Authority struct {
	ID     string `json:"id"` // "MESH/BACKEND"
	Mesh   string `json:"mesh"`
	Issues bool   `json:"issues"`
	// NotAfter is when the newest of its certificates ends.
	NotAfter time.Time `json:"notAfter"`
	// Problem says why it is not as its secrets are now.
	Problem string `json:"problem,omitempty"`
}

// Status is what a Store has in use.
type Status struct {
	Authorities  []Authority   `json:"authorities"`  // sorted by ID
	Certificates []Certificate `json:"certificates"` // sorted by mesh and proxy; of those that asked
}

// Status returns what is in use now.
func (s *Store) Status() Status {
	out := Status{Authorities: []Authority{}, Certificates: []Certificate{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serving == nil {
		return out
	}
	for _, a := range s.serving.authorities {
		out.Authorities = append(out.Authorities, Authority{a.of.ID, a.of.Mesh, a.of.Issues, a.certs()[0].NotAfter.UTC(), a.problem})
	}
	for k := range s.serving.current() {
		l := s.serving.leaves[k]
		if l == nil {
			continue
		}
		id, _ := s.serving.identity(k)
		out.Certificates = append(out.Certificates, Certificate{
			k.proxy, k.mesh, l.serial(), append([]string{}, id.URIs.Slice()...), l.cert.NotBefore.UTC(), l.cert.NotAfter.UTC(), l.backend,
		})
	}
	slices.SortFunc(out.Certificates, func(a, b Certificate) int {
		return cmp.Or(cmp.Compare(a.Mesh, b.Mesh), cmp.Compare(a.Proxy, b.Proxy))
	})
	return out
}

var (
	authorityEnds = prometheus.NewDesc("meshc_identity_authority_expiry_timestamp_seconds",
		"When a certificate authority ends, in seconds since 1970.", []string{"mesh", "authority"}, nil)
	certificatesEnd = prometheus.NewDesc("meshc_identity_certificate_expiry_timestamp_seconds",
		"When the first of the certificates of a mesh's proxies ends, in seconds since 1970.", []string{"mesh"}, nil)
	certificatesInUse = prometheus.NewDesc("meshc_identity_certificates", "Certificates of proxies in use.", []string{"mesh"}, nil)
	renewedTotal      = prometheus.NewDesc("meshc_identity_renewals_total",
		"Certificates in use that were replaced (ok), or could not be (failed).", []string{"mesh", "result"}, nil)
)

// Describe is part of prometheus.Collector.
func (s *Store) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{authorityEnds, certificatesEnd, certificatesInUse, renewedTotal} {
		ch <- d
	}
}

// Collect is part of prometheus.Collector.
func (s *Store) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	status := s.Status()
	for _, a := range status.Authorities {
		gauge(authorityEnds, float64(a.NotAfter.Unix()), a.Mesh, a.ID)
	}
	count, first := map[string]int{}, map[string]time.Time{}
	for _, c := range status.Certificates {
		count[c.Mesh]++
		if t, ok := first[c.Mesh]; !ok || c.NotAfter.Before(t) {
			first[c.Mesh] = c.NotAfter
		}
	}
	for mesh, n := range count {
		gauge(certificatesInUse, float64(n), mesh)
		gauge(certificatesEnd, float64(first[mesh].Unix()), mesh)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for mesh, r := range s.renewals {
		ch <- prometheus.MustNewConstMetric(renewedTotal, prometheus.CounterValue, float64(r.done), mesh, "ok")
		ch <- prometheus.MustNewConstMetric(renewedTotal, prometheus.CounterValue, float64(r.failed), mesh, "failed")
	}
}
