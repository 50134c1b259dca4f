package schema_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/files"
)

func manyFiles(n int) []files.File {
	out := make([]files.File, 0, n)
	for i := range n {
		out = append(out, file(fmt.Sprintf("f%05d.yaml", i), fmt.Sprintf(`apiVersion: v1
kind: Service
metadata:
  name: web-%d
  namespace: shop
  labels: {app: web}
spec:
  selector: {app: web}
  ports:
  - name: http
    port: 80
    targetPort: 8080
`, i)))
	}
	return out
}

// BenchmarkLoadCold loads 10,000 files of one Service each.
func BenchmarkLoadCold(b *testing.B) {
	in := tree(manyFiles(10_000)...)
	b.ReportAllocs()
	for b.Loop() {
		if r := schema.NewLoader().Load(context.Background(), in); len(r.Documents) != 10_000 {
			b.Fatal(len(r.Documents))
		}
	}
}

// BenchmarkLoadChanged loads 10,000 files again of which one has changed.
func BenchmarkLoadChanged(b *testing.B) {
	fs := manyFiles(10_000)
	l := schema.NewLoader()
	l.Load(context.Background(), tree(fs...))
	i := 0
	for b.Loop() {
		i++
		fs[5000] = file(fs[5000].Name, fmt.Sprintf("%s# %d\n", fs[5000].Data, i%2))
		l.Load(context.Background(), tree(fs...))
	}
}

// BenchmarkLoadCached loads 10,000 files that the cache on disk knows all.
func BenchmarkLoadCached(b *testing.B) {
	in := tree(manyFiles(10_000)...)
	_, content, _ := cached(b, in, "")
	b.ReportAllocs()
	for b.Loop() {
		l, c := schema.NewLoader(), schema.NewCache(content, schema.Program{1})
		l.UseCache(c)
		if r := l.Load(context.Background(), in); len(r.Documents) != 10_000 || c.Changed() {
			b.Fatal(len(r.Documents), c.Changed())
		}
	}
}
