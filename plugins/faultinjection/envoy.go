package faultinjection

import (
	commonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/fault/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshc/meshc/plugins"
)

// envoy is Kind.Envoy.
func envoy(u plugins.Use) (plugins.Envoy, error) {
	c, err := parse(u.Config)
	if err != nil {
		return plugins.Envoy{}, err
	}
	f := &faultv3.HTTPFault{UpstreamCluster: c.Cluster}
	if c.Delay.Share > 0 {
		f.Delay = &commonv3.FaultDelay{
			FaultDelaySecifier: &commonv3.FaultDelay_FixedDelay{FixedDelay: durationpb.New(c.Delay.time)},
			Percentage:         c.Delay.Share.percent(),
		}
	}
	if c.Abort.Share > 0 {
		f.Abort = &faultv3.FaultAbort{
			ErrorType:  &faultv3.FaultAbort_HttpStatus{HttpStatus: uint32(c.Abort.Status)},
			Percentage: c.Abort.Share.percent(),
		}
	}
	if c.Limit.Share > 0 {
		f.ResponseRateLimit = &commonv3.FaultRateLimit{
			LimitType:  &commonv3.FaultRateLimit_FixedLimit_{FixedLimit: &commonv3.FaultRateLimit_FixedLimit{LimitKbps: c.Limit.Speed}},
			Percentage: c.Limit.Share.percent(),
		}
	}
	return plugins.Envoy{Filter: f}, nil
}

func (s share) percent() *typev3.FractionalPercent {
	return &typev3.FractionalPercent{Numerator: uint32(s), Denominator: typev3.FractionalPercent_MILLION}
}
