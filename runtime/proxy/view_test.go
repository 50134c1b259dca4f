package proxy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/meshc/meshc/compiler/snapshot"
)

// choosing is a cluster that nothing serves, with n endpoints of the weights
// given; those that are not are 1.
func choosing(how snapshot.Cluster, n int, weights ...uint32) *cluster {
	c := &cluster{balancing: newBalancing(how), state: newClusterState()}
	for i := range n {
		e := snapshot.Endpoint{Address: fmt.Sprintf("10.0.%d.%d", i>>8, i&255), Port: 80}
		if i < len(weights) {
			e.Weight = weights[i]
		}
		c.endpoints = append(c.endpoints, newEndpoint(newPool(nil, mustAddrPort(e), c.state, nil, nil), e))
	}
	return c
}

var hashing = map[string]snapshot.Cluster{
	"ring":     {Balancing: snapshot.RingHash},
	"murmur":   {Balancing: snapshot.RingHash, Ring: snapshot.Ring{Hash: "MURMUR_HASH_2", Min: 4096}},
	"maglev":   {Balancing: snapshot.Maglev},
	"clientIP": {Balancing: snapshot.ClientIP},
}

// shares counts what each endpoint gets of n clients.
func shares(t testing.TB, c *cluster, n int) map[*endpoint]int {
	got := map[*endpoint]int{}
	r := rand.New(rand.NewPCG(1, 2))
	for range n {
		got[c.pick(t.Context(), r.Uint64())]++
	}
	return got
}

// Where one of N endpoints is not healthy, its clients move, and of the others
// few; when it is back all is as before.
func TestHashesAreStable(t *testing.T) {
	// How many others may move for each client that must. Maglev moves a few;
	// with the number of endpoints, that of the points of each changes on a ring.
	for name, others := range map[string]float64{"ring": 2, "murmur": 2, "maglev": 0.5, "clientIP": 0} {
		r := rand.New(rand.NewPCG(3, 4))
		for range 15 {
			weights := make([]uint32, 3+r.IntN(10))
			for i := range weights {
				weights[i] = 1 + r.Uint32N(3)
			}
			c := choosing(hashing[name], len(weights), weights...)
			out := c.endpoints[r.IntN(len(weights))]
			var before [1000]*endpoint
			for i := range before {
				before[i] = c.pick(t.Context(), mix(uint64(i)))
			}
			c.state.set(out.standing, ejected, true)
			must, moved := 0, 0
			for i, e := range before {
				now := c.pick(t.Context(), mix(uint64(i)))
				switch {
				case now == out:
					t.Fatalf("%s: an endpoint that is ejected was chosen", name)
				case e == out:
					must++
				case now != e:
					moved++
				}
			}
			if must == 0 || float64(moved) > others*float64(must) {
				t.Errorf("%s, weights %v: %d clients had to move, %d others did", name, weights, must, moved)
			}
			c.state.set(out.standing, ejected, false)
			for i, e := range before {
				if c.pick(t.Context(), mix(uint64(i))) != e {
					t.Fatalf("%s: not as before", name)
				}
			}
		}
	}
}

func TestSharesFollowTheWeights(t *testing.T) {
	const n = 30_000
	for name, how := range map[string]snapshot.Cluster{
		"roundRobin": {Balancing: snapshot.RoundRobin}, "leastRequest": {Balancing: snapshot.LeastRequest},
		"ring": {Balancing: snapshot.RingHash, Ring: snapshot.Ring{Min: 60_000}}, "maglev": {Balancing: snapshot.Maglev},
		"clientIP": {Balancing: snapshot.ClientIP},
	} {
		c := choosing(how, 3, 1, 2, 7)
		got := shares(t, c, n)
		for i, share := range []int{1, 2, 7} {
			want := n * share / 10
			if d := got[c.endpoints[i]] - want; d < -want/10 || d > want/10 {
				t.Errorf("%s: an endpoint of weight %d of 10 got %d of %d", name, share, got[c.endpoints[i]], n)
			}
		}
	}
	// Envoy's random balancing does not look at weights.
	c := choosing(snapshot.Cluster{Balancing: snapshot.Random}, 2, 1, 9)
	if got := shares(t, c, n)[c.endpoints[0]]; got < n*45/100 || got > n*55/100 {
		t.Errorf("random: %d of %d", got, n)
	}
}

// The points of Envoy's own test of its ring (Basic and BasicWithMurmur2).
func TestRingIsEnvoys(t *testing.T) {
	for _, tc := range []struct {
		hash   string
		port   int // of the first endpoint
		points ring
	}{
		{"XX_HASH", 90, ring{
			{833437586790550860, 4}, {928266305478181108, 2}, {1033482794131418490, 0}, {3551244743356806947, 5},
			{3851675632748031481, 3}, {5583722120771150861, 1}, {6311230543546372928, 1}, {7700377290971790572, 3},
			{13144177310400110813, 5}, {13444792449719432967, 2}, {15516499411664133160, 4}, {16117243373044804889, 0},
		}},
		{"MURMUR_HASH_2", 80, ring{
			{1358027074129602068, 5}, {4361834613929391114, 3}, {7224494972555149682, 4}, {7701421856454313576, 1},
			{8649315368077433379, 2}, {8739448859063030639, 4}, {9887544217113020895, 1}, {10150910876324007731, 2},
			{15168472011420622455, 3}, {15427156902705414897, 0}, {16375050414328759093, 5}, {17613279263364193813, 0},
		}},
	} {
		var endpoints []*endpoint
		for i := range 6 {
			e := snapshot.Endpoint{Address: "127.0.0.1", Port: uint16(tc.port + i)}
			endpoints = append(endpoints, newEndpoint(newPool(nil, mustAddrPort(e), nil, nil, nil), e))
		}
		r := newRing(endpoints, snapshot.Ring{Hash: tc.hash, Min: 12})
		if !slices.Equal(r, tc.points) {
			t.Errorf("%s: %v", tc.hash, r)
		}
		for i, p := range r {
			if r.choose(p.hash) != int(p.endpoint) || r.choose(p.hash+1) != int(r[(i+1)%len(r)].endpoint) {
				t.Errorf("%s: point %d is not found", tc.hash, i)
			}
		}
	}
}

func TestRingBounds(t *testing.T) {
	for _, tc := range []struct {
		ring snapshot.Ring
		n    int
		want int
	}{
		{snapshot.Ring{}, 3, 1026}, {snapshot.Ring{Min: 10}, 4, 12}, {snapshot.Ring{Max: 7}, 4, 7},
		{snapshot.Ring{Min: 5000}, 1000, 5000},
	} {
		if got := len(newRing(choosing(snapshot.Cluster{}, tc.n).endpoints, tc.ring)); got != tc.want {
			t.Errorf("%d endpoints, %+v: %d points, want %d", tc.n, tc.ring, got, tc.want)
		}
	}
}

func TestMaglevOfMoreEndpointsThanEntries(t *testing.T) {
	c := choosing(snapshot.Cluster{Balancing: snapshot.Maglev}, 0)
	for i := range maglevSize + 10 {
		e := snapshot.Endpoint{Address: fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), Port: 80}
		c.members.endpoints = append(c.endpoints, newEndpoint(newPool(nil, mustAddrPort(e), c.state, nil, nil), e))
	}
	if got := len(shares(t, c, 1000)); got < 900 {
		t.Errorf("%d endpoints for 1,000 clients", got)
	}
}

func TestLeastRequest(t *testing.T) {
	for name, c := range map[string]*cluster{
		"of equals":      choosing(snapshot.Cluster{Balancing: snapshot.LeastRequest, Choices: 16}, 4),
		"of weights":     choosing(snapshot.Cluster{Balancing: snapshot.LeastRequest}, 4, 1, 2, 3, 4),
		"of many":        choosing(snapshot.Cluster{Balancing: snapshot.LeastRequest, Choices: 400}, 200),
		"of many weighs": choosing(snapshot.Cluster{Balancing: snapshot.LeastRequest}, 200, 2),
	} {
		for _, e := range c.endpoints {
			e.standing.active.Store(1000)
		}
		c.endpoints[1].standing.active.Store(0)
		got := shares(t, c, 2000)[c.endpoints[1]]
		least := 1900
		switch name {
		case "of many": // 400 choices pass it over with (1-1/200)^400
			least = 1600
		case "of many weighs": // it looks at 64 of the 200
			least = 500
		}
		if got < least {
			t.Errorf("%s: the idle one got %d of 2,000", name, got)
		}
	}
	// Two choices: of two endpoints, the idle one is passed over when the busy
	// one is chosen twice.
	c := choosing(snapshot.Cluster{Balancing: snapshot.LeastRequest}, 2)
	c.endpoints[0].standing.active.Store(1)
	if got := shares(t, c, 20_000)[c.endpoints[0]]; got < 4500 || got > 5500 {
		t.Errorf("the busy one of two got %d of 20,000", got)
	}
	// Envoy divides the weight by the load: 1/1 against 3/6.
	c = choosing(snapshot.Cluster{Balancing: snapshot.LeastRequest}, 2, 1, 3)
	c.endpoints[1].standing.active.Store(5)
	if got := shares(t, c, 20_000)[c.endpoints[0]]; got < 12_500 || got > 14_200 {
		t.Errorf("the light, idle one got %d of 20,000", got)
	}
}

func TestPanic(t *testing.T) {
	for _, tc := range []struct {
		healthy, of int
		how         snapshot.Cluster
		want        int // endpoints to choose from
	}{
		{0, 10, snapshot.Cluster{}, 0},
		{1, 10, snapshot.Cluster{}, 1},
		{0, 10, snapshot.Cluster{Panic: 1}, 10},
		{4, 10, snapshot.Cluster{Panic: 50}, 10},
		{5, 10, snapshot.Cluster{Panic: 50}, 5},
		{4, 10, snapshot.Cluster{Panic: 50, FailOnPanic: true}, 0},
		{4, 10, snapshot.Cluster{Panic: 50, FailOnPanic: true, Balancing: snapshot.Maglev}, 10},
		{7, 10, snapshot.Cluster{Panic: 100}, 10},
		// With the overprovisioning of Envoy, 72 % are as good as all.
		{8, 10, snapshot.Cluster{Panic: 100}, 8},
		{10, 10, snapshot.Cluster{Panic: 100, FailOnPanic: true}, 10},
		{0, 0, snapshot.Cluster{Panic: 50}, 0},
	} {
		c := choosing(tc.how, tc.of)
		for _, e := range c.endpoints[tc.healthy:] {
			c.state.set(e.standing, firstCheck, true)
		}
		got := shares(t, c, 1000)
		delete(got, nil)
		if len(got) != tc.want {
			t.Errorf("%d of %d healthy, panic below %d %% (fail: %v): %d are chosen, want %d",
				tc.healthy, tc.of, tc.how.Panic, tc.how.FailOnPanic, len(got), tc.want)
		}
	}
}

// While one renews a large table, the others go on with the one before.
func TestViewsUnderChange(t *testing.T) {
	for name, how := range hashing {
		c := choosing(how, 10)
		var wg sync.WaitGroup
		stop := make(chan struct{})
		for range 2 {
			wg.Go(func() {
				for i := uint64(0); ; i++ {
					select {
					case <-stop:
						return
					default:
						if c.pick(t.Context(), mix(i)) == nil {
							t.Errorf("%s: nothing to choose", name)
							return
						}
					}
				}
			})
		}
		for i := range 50 {
			c.state.set(c.endpoints[i%10].standing, ejected, i%3 > 0)
		}
		close(stop)
		wg.Wait()
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	for _, b := range []snapshot.Balancing{
		snapshot.RoundRobin, snapshot.LeastRequest, snapshot.Random, snapshot.RingHash, snapshot.Maglev, snapshot.ClientIP,
	} {
		for _, weights := range [][]uint32{nil, {1, 2}} {
			c := choosing(snapshot.Cluster{Balancing: b}, 100, weights...)
			client := uint64(0)
			if n := testing.AllocsPerRun(100, func() { client++; c.pick(t.Context(), mix(client)) }); n > 0 {
				t.Errorf("%s, weights %v: %v allocations", b, weights, n)
			}
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for _, how := range []snapshot.Balancing{
		snapshot.RoundRobin, snapshot.LeastRequest, snapshot.Random, snapshot.RingHash, snapshot.Maglev, snapshot.ClientIP,
	} {
		for _, weights := range [][]uint32{nil, {1, 2}} {
			b.Run(fmt.Sprintf("%s/weights=%t", how, weights != nil), func(b *testing.B) {
				c := choosing(snapshot.Cluster{Balancing: how}, 50, weights...)
				ctx, client := b.Context(), uint64(0)
				for b.Loop() {
					client++
					c.pick(ctx, mix(client))
				}
			})
		}
	}
}

// The table of Envoy's own test (Basic), of seven entries.
func TestMaglevIsEnvoys(t *testing.T) {
	var endpoints []*endpoint
	for i := range 6 {
		e := snapshot.Endpoint{Address: "127.0.0.1", Port: uint16(90 + i)}
		endpoints = append(endpoints, newEndpoint(newPool(nil, mustAddrPort(e), nil, nil, nil), e))
	}
	if m := newMaglev(endpoints, 7); !slices.Equal(m, maglev{2, 4, 0, 1, 5, 0, 3}) {
		t.Error(m)
	}
}
