package compiler_test

import (
	"fmt"
	"testing"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/files"
)

// BenchmarkCompile compiles Services with one endpoint each: all of them with
// nothing known, and again after one endpoint changed.
func BenchmarkCompile(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		var tree files.Tree
		for i := range n {
			tree.Files = append(tree.Files, file(fmt.Sprintf("s%05d.yaml", i), serviceText(i, 1)))
		}
		loader := schema.NewLoader()
		one := loader.Load(b.Context(), tree).Documents
		tree.Files[n/2] = file(tree.Files[n/2].Name, serviceText(n/2, 2))
		two := loader.Load(b.Context(), tree).Documents
		b.Run(fmt.Sprintf("cold/services=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				compiler.New().Compile(one)
			}
		})
		b.Run(fmt.Sprintf("one-changed/services=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			c := compiler.New()
			c.Compile(one)
			states := [][]*schema.Document{two, one}
			i := 0
			for b.Loop() {
				c.Compile(states[i%2])
				i++
			}
		})
	}
}

func serviceText(i, generation int) []byte {
	return fmt.Appendf(nil, `apiVersion: v1
kind: Service
metadata: {name: s%[1]d, namespace: shop}
spec:
  ports: [{name: http, port: 80}]
---
apiVersion: v1
kind: Endpoints
metadata: {name: s%[1]d, namespace: shop}
subsets:
- addresses: [{ip: 10.%[2]d.%[3]d.%[4]d}]
  ports: [{name: http, port: 8080}]
`, i, generation, i/250, i%250)
}
