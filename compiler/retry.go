package compiler

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/kong"
	"github.com/meshc/meshc/schema/kuma"
)

// What Kuma has tried again where a Retry does not say (1.1.6,
// pkg/xds/envoy/routes/v3/retry_configurer.go), and where it names statuses.
var (
	httpRetriable   = []string{"connect-failure", "gateway-error", "refused-stream"}
	statusRetriable = []string{"connect-failure", "refused-stream", "retriable-status-codes"}
	grpcRetriable   = []string{"cancelled", "connect-failure", "gateway-error", "refused-stream", "reset", "resource-exhausted", "unavailable"}
)

// Envoy's own numbers.
const (
	defaultRetries  = 1
	defaultBackOff  = 25 * time.Millisecond
	backOffMultiple = 10 // of the longest wait, unless it is said
)

// lowerRetry returns what is tried again for p, which carries protocol.
func (p *passage) lowerRetry(protocol string) snapshot.Retry {
	if p.retry == nil {
		return p.kongRetry()
	}
	switch conf := &p.retry.Body.(*kuma.Retry).Conf; {
	case protocol == "grpc" && conf.GRPC != nil:
		on := grpcRetriable
		if len(conf.GRPC.RetryOn) > 0 {
			on = slices.Sorted(slices.Values(conf.GRPC.RetryOn))
			for i, code := range on {
				on[i] = strings.ReplaceAll(code, "_", "-")
			}
		}
		return retry(on, conf.GRPC.NumRetries, conf.GRPC.PerTryTimeout, conf.GRPC.BackOff)
	case (protocol == "http" || protocol == "http2") && conf.HTTP != nil:
		if len(conf.HTTP.RetriableStatusCodes) == 0 {
			return retry(httpRetriable, conf.HTTP.NumRetries, conf.HTTP.PerTryTimeout, conf.HTTP.BackOff)
		}
		r := retry(statusRetriable, conf.HTTP.NumRetries, conf.HTTP.PerTryTimeout, conf.HTTP.BackOff)
		r.Statuses = snapshot.ListOf(slices.Compact(slices.Sorted(slices.Values(conf.HTTP.RetriableStatusCodes)))...)
		return r
	}
	return snapshot.Retry{}
}

func retry(on []string, attempts uint32, perTry kuma.Duration, wait *kuma.BackOff) snapshot.Retry {
	if wait == nil {
		wait = &kuma.BackOff{BaseInterval: kuma.Duration(defaultBackOff)}
	}
	return snapshot.Retry{
		On: snapshot.ListOf(on...), Attempts: cmp.Or(attempts, defaultRetries), PerTryTimeout: snapshot.Duration(perTry),
		BackOffBase: snapshot.Duration(wait.BaseInterval),
		BackOffMax:  snapshot.Duration(cmp.Or(wait.MaxInterval, backOffMultiple*wait.BaseInterval)),
	}
}

// kongRetry is what Kong tries again for one of its services: connections that
// do not come about, at once. It does so five times unless it is said.
func (p *passage) kongRetry() snapshot.Retry {
	if p.own == nil || p.own.dialect != schema.Kong {
		return snapshot.Retry{}
	}
	attempts := int32(5)
	if n := p.own.doc.Body.(*kong.Service).Retries; n != nil {
		attempts = *n
	}
	// Without a word on it, what is idempotent is sent again once, which would wait
	// for an answer twice.
	if read, write := kongTimeouts(p.own.doc); attempts == 0 && (p.timeout != nil || read >= write) {
		return snapshot.Retry{}
	}
	const atOnce = snapshot.Duration(time.Millisecond) // Envoy's shortest wait
	return snapshot.Retry{
		On: snapshot.ListOf("connect-failure", "refused-stream"), Attempts: uint32(attempts),
		BackOffBase: atOnce, BackOffMax: atOnce,
	}
}

// connectAttempts is how often a TCP listener tries to connect.
func connectAttempts(retry *schema.Document) uint32 {
	if retry == nil {
		return 0
	}
	if tcp := retry.Body.(*kuma.Retry).Conf.TCP; tcp != nil {
		return tcp.MaxConnectAttempts
	}
	return 0
}
