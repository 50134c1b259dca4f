package host

import (
	"sync"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
)

// Bounds on what the guests of one vm_id may keep outside of their memories.
const (
	maxShared = 64 << 20 // bytes of keys, values, queue names and items
	maxQueues = 10_000
	itemCost  = 64 // what an entry counts besides its bytes
)

// Spaces are the shared data and queues of a process, by vm_id.
type Spaces struct {
	mu     sync.Mutex
	spaces map[string]*Space
	queues map[uint32]*queue // of all spaces: a token may be passed on
	token  uint32
	cas    uint32
}

// NewSpaces returns no spaces.
func NewSpaces() *Spaces {
	return &Spaces{spaces: map[string]*Space{}, queues: map[uint32]*queue{}}
}

// Space is what the VMs of one vm_id share: over all workers, and over all
// modules that have it. It is gone when the last of them is.
type Space struct {
	spaces *Spaces
	vmID   string
	users  int

	// All that follows is under the lock of spaces.
	data   map[string]entry
	queues map[string]*queue
	bytes  int
}

type entry struct {
	value string
	cas   uint32
}

type queue struct {
	token    uint32
	space    *Space
	items    []string
	consumer *Instance
	root     uint32
}

// Open returns the space of vmID, to be closed once.
func (s *Spaces) Open(vmID string) *Space {
	s.mu.Lock()
	defer s.mu.Unlock()
	space := s.spaces[vmID]
	if space == nil {
		space = &Space{spaces: s, vmID: vmID, data: map[string]entry{}, queues: map[string]*queue{}}
		s.spaces[vmID] = space
	}
	space.users++
	return space
}

// Close ends a use of the space.
func (s *Space) Close() {
	s.spaces.mu.Lock()
	defer s.spaces.mu.Unlock()
	if s.users--; s.users > 0 {
		return
	}
	for _, q := range s.queues {
		delete(s.spaces.queues, q.token)
	}
	delete(s.spaces.spaces, s.vmID)
}

// forget takes an instance that ends off its queues; what is in them stays.
func (s *Space) forget(i *Instance) {
	s.spaces.mu.Lock()
	defer s.spaces.mu.Unlock()
	for _, q := range s.queues {
		if q.consumer == i {
			q.consumer = nil
		}
	}
}

// get returns the value of a key and its compare-and-swap number.
func (s *Space) get(key string) (string, uint32, bool) {
	s.spaces.mu.Lock()
	defer s.spaces.mu.Unlock()
	e, ok := s.data[key]
	return e.value, e.cas, ok
}

// set keeps a copy of value, if cas is 0 or that of the value that is there.
// A key that is not there takes any cas, as in Envoy.
func (s *Space) set(key string, value []byte, cas uint32) abi.Status {
	s.spaces.mu.Lock()
	defer s.spaces.mu.Unlock()
	old, ok := s.data[key]
	if ok && cas != 0 && cas != old.cas {
		return abi.CasMismatch
	}
	more := len(value) - len(old.value)
	if !ok {
		more += len(key) + itemCost
		key = string([]byte(key)) // it lies in the guest's memory
	}
	if s.bytes+more > maxShared {
		return abi.InternalFailure
	}
	s.bytes += more
	if s.spaces.cas++; s.spaces.cas == 0 {
		s.spaces.cas = 1
	}
	if ok { // the key that is in the map stays
		old.value, old.cas = string(value), s.spaces.cas
		s.data[string([]byte(key))] = old
		return abi.Ok
	}
	s.data[key] = entry{string(value), s.spaces.cas}
	return abi.Ok
}

// register makes a queue, or makes another consumer of one that is there.
func (s *Space) register(name string, consumer *Instance, root uint32) (token uint32, st abi.Status) {
	s.spaces.mu.Lock()
	defer s.spaces.mu.Unlock()
	q := s.queues[name]
	if q == nil {
		if len(s.queues) >= maxQueues || s.bytes+len(name)+itemCost > maxShared {
			return 0, abi.InternalFailure
		}
		name = string([]byte(name))
		s.bytes += len(name) + itemCost
		for {
			s.spaces.token++
			if t := s.spaces.token; t != 0 && s.spaces.queues[t] == nil {
				break
			}
		}
		q = &queue{token: s.spaces.token, space: s}
		s.queues[name], s.spaces.queues[q.token] = q, q
	}
	if consumer != nil {
		q.consumer, q.root = consumer, root
	}
	return q.token, abi.Ok
}

func (s *Spaces) resolve(vmID, name string) (token uint32, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	space := s.spaces[vmID]
	if space == nil {
		return 0, false
	}
	q := space.queues[name]
	if q == nil {
		return 0, false
	}
	return q.token, true
}

// enqueue adds a copy of item, and returns who is to be told of it.
func (s *Spaces) enqueue(token uint32, item []byte) (consumer *Instance, root uint32, st abi.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[token]
	if q == nil {
		return nil, 0, abi.NotFound
	}
	if q.space.bytes+len(item)+itemCost > maxShared {
		return nil, 0, abi.InternalFailure
	}
	q.space.bytes += len(item) + itemCost
	q.items = append(q.items, string(item))
	return q.consumer, q.root, abi.Ok
}

func (s *Spaces) dequeue(token uint32) (item string, st abi.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[token]
	if q == nil {
		return "", abi.NotFound
	}
	if len(q.items) == 0 {
		return "", abi.Empty
	}
	item = q.items[0]
	q.items[0] = ""
	if q.items = q.items[1:]; len(q.items) == 0 {
		q.items = nil
	}
	q.space.bytes -= len(item) + itemCost
	return item, abi.Ok
}

func setSharedData(i *Instance, p []uint64) abi.Status {
	key, ok := i.text(p[0], p[1])
	value, ok2 := i.bytes(p[2], p[3])
	if !ok || !ok2 {
		return abi.InvalidMemoryAccess
	}
	return i.config.Space.set(key, value, uint32(p[4]))
}

func getSharedData(i *Instance, p []uint64) abi.Status {
	key, ok := i.text(p[0], p[1])
	if !ok {
		return abi.InvalidMemoryAccess
	}
	value, cas, ok := i.config.Space.get(key)
	if !ok {
		return abi.NotFound
	}
	if s := i.answer(p[2], p[3], value); s != abi.Ok {
		return s
	}
	return i.answer32(p[4], cas)
}

func registerQueue(i *Instance, p []uint64) abi.Status {
	name, ok := i.text(p[0], p[1])
	if !ok {
		return abi.InvalidMemoryAccess
	}
	// A guest that is only tried must not take a queue from those that serve.
	var consumer *Instance
	var root uint32
	if r := i.current.root; r != nil && !i.check {
		consumer, root = i, r.id
	}
	token, s := i.config.Space.register(name, consumer, root)
	if s != abi.Ok {
		return s
	}
	return i.answer32(p[2], token)
}

func resolveQueue(i *Instance, p []uint64) abi.Status {
	vmID, ok := i.text(p[0], p[1])
	name, ok2 := i.text(p[2], p[3])
	if !ok || !ok2 {
		return abi.InvalidMemoryAccess
	}
	if vmID == "" {
		vmID = i.config.VMID
	}
	token, ok := i.config.Space.spaces.resolve(vmID, name)
	if !ok {
		return abi.NotFound
	}
	return i.answer32(p[4], token)
}

func enqueue(i *Instance, p []uint64) abi.Status {
	item, ok := i.bytes(p[1], p[2])
	if !ok {
		return abi.InvalidMemoryAccess
	}
	token := uint32(p[0])
	consumer, root, s := i.config.Space.spaces.enqueue(token, item)
	if consumer != nil {
		// From a goroutine of its own: a guest that enqueues whenever it is
		// told of an item must not keep whoever runs its worker's tasks.
		go consumer.post(func() { consumer.queueReady(root, token) })
	}
	return s
}

func (i *Instance) queueReady(root, token uint32) {
	c := i.contexts[root]
	f := &i.on[onQueueReady]
	if c == nil || f.fn == nil {
		return
	}
	f.stack[0], f.stack[1] = uint64(root), uint64(token)
	i.call(c, f)
}

func dequeue(i *Instance, p []uint64) abi.Status {
	item, s := i.config.Space.spaces.dequeue(uint32(p[0]))
	if s != abi.Ok {
		return s
	}
	return i.answer(p[1], p[2], item)
}
