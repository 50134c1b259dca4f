package rest

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// The sizes of a page of a list.
const (
	kongPage    = 100
	kongMaxPage = 1000
)

// kong answers as Kong's Admin API does: /services and /services/NAME-OR-ID.
func (s *Server) kong(w http.ResponseWriter, r *http.Request, path []string) {
	if len(path) > 2 {
		sendKongMessage(w, http.StatusNotFound, "Not found")
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		sendKongMessage(w, http.StatusMethodNotAllowed, "Method not allowed")
		return
	}
	st := s.state.Load()
	if st == nil {
		sendKongMessage(w, http.StatusServiceUnavailable, "No snapshot serves yet")
		return
	}
	all := st.list("kong", "Service", "")
	if len(path) == 1 {
		kongList(w, r.URL.Query(), all)
		return
	}
	i := slices.IndexFunc(all, func(o *object) bool { return o.content.id == path[1] })
	if i < 0 {
		i = slices.IndexFunc(all, func(o *object) bool { return o.Name == path[1] })
	}
	if i < 0 {
		sendKongMessage(w, http.StatusNotFound, "Not found")
		return
	}
	sendKong(w, http.StatusOK, append(slices.Clip(all[i].content.body), '\n'))
}

// kongError is a refusal with one of Kong's error codes.
type kongError struct {
	Message string `json:"message"`
	Name    string `json:"name"`
	Code    int    `json:"code"`
}

func kongList(w http.ResponseWriter, q url.Values, all []*object) {
	size := kongPage
	if v, ok := q["size"]; ok {
		n, err := strconv.Atoi(v[0])
		if err != nil || n < 1 || n > kongMaxPage {
			sendKong(w, http.StatusBadRequest, marshal(kongError{
				fmt.Sprintf("size must be an integer between 1 and %d", kongMaxPage), "invalid size", 9,
			}))
			return
		}
		size = n
	}
	all = slices.DeleteFunc(slices.Clone(all), func(o *object) bool { return !tagged(o, q.Get("tags")) })
	from := 0
	if v := q.Get("offset"); v != "" {
		last, ok := parseKongOffset(v)
		if !ok {
			sendKong(w, http.StatusBadRequest, marshal(kongError{fmt.Sprintf("'%s' is not a valid offset", v), "invalid offset", 7}))
			return
		}
		i, found := slices.BinarySearchFunc(all, last, func(o *object, name string) int { return cmp.Compare(o.Name, name) })
		from = i
		if found {
			from++
		}
	}
	to := min(from+size, len(all))
	list := struct {
		Data   []json.RawMessage `json:"data"`
		Next   *string           `json:"next"`
		Offset string            `json:"offset,omitempty"`
	}{Data: make([]json.RawMessage, 0, to-from)}
	for _, o := range all[from:to] {
		list.Data = append(list.Data, o.content.body)
	}
	if to < len(all) {
		list.Offset = kongOffset(all[to-1].Name)
		next := "/services?offset=" + url.QueryEscape(list.Offset)
		for _, name := range []string{"tags", "size"} { // in Kong's order
			if v := q.Get(name); v != "" {
				next += "&" + name + "=" + url.QueryEscape(v)
			}
		}
		list.Next = &next
	}
	sendKong(w, http.StatusOK, marshal(list))
}

// kongOffset is where a page ended: the name of its last service, so that the
// next page follows it even when others came or went.
func kongOffset(last string) string {
	return base64.StdEncoding.EncodeToString(compact([]string{last}))
}

func parseKongOffset(s string) (last string, ok bool) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return "", false
	}
	var names []string
	if json.Unmarshal(b, &names) != nil || len(names) != 1 {
		return "", false
	}
	return names[0], true
}

// tagged reports whether a service has all tags of "a,b", or any of "a/b".
func tagged(o *object, tags string) bool {
	if tags == "" {
		return true
	}
	has := func(tag string) bool { return slices.Contains(o.content.tags, tag) }
	if either := strings.Split(tags, "/"); len(either) > 1 {
		return slices.ContainsFunc(either, has)
	}
	return !slices.ContainsFunc(strings.Split(tags, ","), func(tag string) bool { return !has(tag) })
}

func sendKong(w http.ResponseWriter, code int, body []byte) {
	send(w, code, "application/json; charset=utf-8", body)
}

func sendKongMessage(w http.ResponseWriter, code int, message string) {
	sendKong(w, code, marshal(struct {
		Message string `json:"message"`
	}{message}))
}
