package registries

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// table is a TOML table. A value is a string, a bool, a *table, an array, tables for [[NAME]], or nil for numbers and
// dates, which registries.conf has none of.
type table struct {
	values map[string]any
	header bool // [NAME] has been seen, and may not come again
	inline bool // {…}: complete where it stands
}

type (
	array  []any
	tables []*table
)

func newTable() *table { return &table{values: make(map[string]any)} }

// parseTOML returns the content of a TOML file. It uses the library's parser without its decoder: that one works by
// reflection on types, and is three times as large as the parser. The error says in which line the file is wrong.
func parseTOML(text string) (*table, error) {
	var p unstable.Parser
	p.Reset([]byte(text))
	root := newTable()
	at := root
	for p.NextExpression() {
		e := p.Expression()
		var err error
		switch names := key(e); e.Kind {
		case unstable.Table:
			at, err = root.open(names)
		case unstable.ArrayTable:
			at, err = root.grow(names)
		case unstable.KeyValue:
			err = at.set(names, e.Value())
		}
		if err != nil {
			return nil, err
		}
	}
	var wrong *unstable.ParserError
	if err := p.Error(); errors.As(err, &wrong) {
		return nil, fmt.Errorf("line %d is not TOML: %w", p.Shape(p.Range(wrong.Highlight)).Start.Line, err)
	} else if err != nil {
		return nil, err
	}
	return root, nil
}

// key returns the parts of an expression's key.
func key(e *unstable.Node) (names []string) {
	for k := e.Key(); k.Next(); {
		names = append(names, string(k.Node().Data))
	}
	return names
}

func twice(names []string) error { return fmt.Errorf("%s is there twice", strings.Join(names, ".")) }

// down returns the table in t that the names lead to. It makes the tables that are missing. Of [[NAME]] the last one
// counts.
func (t *table) down(names []string) (*table, error) {
	for _, name := range names {
		switch v := t.values[name].(type) {
		case nil:
			if _, there := t.values[name]; there {
				return nil, fmt.Errorf("%s is not a table", name)
			}
			next := newTable()
			t.values[name], t = next, next
		case *table:
			t = v
		case tables:
			t = v[len(v)-1]
		default:
			return nil, fmt.Errorf("%s is not a table", name)
		}
		if t.inline {
			return nil, fmt.Errorf("%s is complete already", name)
		}
	}
	return t, nil
}

// open returns the table of [NAMES].
func (t *table) open(names []string) (*table, error) {
	t, err := t.down(names)
	if err != nil {
		return nil, err
	}
	if t.header {
		return nil, twice(names)
	}
	t.header = true
	return t, nil
}

// grow adds the table of [[NAMES]].
func (t *table) grow(names []string) (*table, error) {
	last := len(names) - 1
	t, err := t.down(names[:last])
	if err != nil {
		return nil, err
	}
	list, ok := t.values[names[last]].(tables)
	if _, there := t.values[names[last]]; there && !ok {
		return nil, twice(names)
	}
	added := newTable()
	added.header = true
	t.values[names[last]] = append(list, added)
	return added, nil
}

// set adds NAMES = VALUE.
func (t *table) set(names []string, value *unstable.Node) error {
	last := len(names) - 1
	t, err := t.down(names[:last])
	if err != nil {
		return err
	}
	if _, there := t.values[names[last]]; there {
		return twice(names)
	}
	t.values[names[last]], err = content(value)
	return err
}

// content returns a value.
func content(n *unstable.Node) (any, error) {
	switch n.Kind {
	case unstable.String:
		return string(n.Data), nil
	case unstable.Bool:
		return len(n.Data) > 0 && n.Data[0] == 't', nil
	case unstable.Array:
		var list array
		for c := n.Children(); c.Next(); {
			if c.Node().Kind == unstable.Comment {
				continue
			}
			v, err := content(c.Node())
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case unstable.InlineTable:
		t := newTable()
		for c := n.Children(); c.Next(); {
			if c.Node().Kind != unstable.KeyValue {
				continue
			}
			if err := t.set(key(c.Node()), c.Node().Value()); err != nil {
				return nil, err
			}
		}
		t.inline = true
		return t, nil
	}
	return nil, nil
}

// find returns the value of a name. As in containers/image, upper and lower case are the same where no name fits
// exactly.
func (t *table) find(name string) any {
	if v, ok := t.values[name]; ok {
		return v
	}
	for n, v := range t.values {
		if strings.EqualFold(n, name) {
			return v
		}
	}
	return nil
}

// fill sets the variables to the values of their names. A value that is missing leaves its variable as it is. The error
// is about a value of another type.
func (t *table) fill(vars map[string]any) error {
	for name, v := range vars {
		value := t.find(name)
		if value == nil {
			continue
		}
		ok := false
		switch v := v.(type) {
		case *string:
			*v, ok = value.(string)
		case *bool:
			*v, ok = value.(bool)
		case *tables:
			*v, ok = listed(value)
		}
		if !ok {
			return fmt.Errorf("the value of %s has the wrong type", name)
		}
	}
	return nil
}

// listed returns the tables of [[NAME]], or of NAME = [{…}, …].
func listed(value any) (tables, bool) {
	switch v := value.(type) {
	case tables:
		return v, true
	case array:
		var list tables
		for _, e := range v {
			t, ok := e.(*table)
			if !ok {
				return nil, false
			}
			list = append(list, t)
		}
		return list, true
	}
	return nil, false
}
