package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// object reads the JSON object raw strictly. field returns where the value of a key is stored, or nil for an unknown
// key. An unknown key, a duplicate key, a key with other capitals, the value null, and anything after the object are
// errors. encoding/json ignores them all: a policy or a signature would then mean something else than a person reads
// in it.
func object(raw []byte, field func(key string) any) error {
	if !utf8.Valid(raw) {
		return errors.New("it is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if token, err := d.Token(); err != nil {
		return malformed(err)
	} else if token != json.Delim('{') {
		return errors.New("it is not a JSON object")
	}
	seen := make(map[string]bool)
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return malformed(err)
		}
		key, _ := token.(string) // the decoder allows no other token here
		if seen[key] {
			return fmt.Errorf("it has the field %q twice", key)
		}
		seen[key] = true
		to := field(key)
		if to == nil {
			return fmt.Errorf("it has the unknown field %q", key)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return malformed(err)
		}
		if err := assign(value, to); err != nil {
			return fmt.Errorf("field %q: %w", key, err)
		}
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return malformed(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows its end")
	}
	return nil
}

// assign stores a value. null is an error, unless the caller wants the raw text.
func assign(value json.RawMessage, to any) error {
	if raw, ok := to.(*json.RawMessage); ok {
		*raw = value
		return nil
	}
	if string(value) == "null" {
		return errors.New("it is null")
	}
	if err := json.Unmarshal(value, to); err != nil {
		return malformed(err)
	}
	return nil
}

// fields reads an object that may have the given fields and no others.
func fields(raw []byte, known map[string]any) error {
	return object(raw, func(key string) any { return known[key] })
}

// exact reads an object that has exactly the given fields.
func exact(raw []byte, known map[string]any) error {
	seen := 0
	err := object(raw, func(key string) any {
		to, ok := known[key]
		if ok {
			seen++
		}
		return to
	})
	if err == nil && seen != len(known) {
		for key := range known {
			if !has(raw, key) {
				return fmt.Errorf("it has no field %q", key)
			}
		}
	}
	return err
}

// has reports whether the object raw, which was read without an error, has a field.
func has(raw []byte, want string) bool {
	found := false
	_ = object(raw, func(key string) any {
		found = found || key == want
		return new(json.RawMessage)
	})
	return found
}

// some reads the given fields of an object that may have others.
func some(raw []byte, known map[string]any) error {
	return object(raw, func(key string) any {
		if to, ok := known[key]; ok {
			return to
		}
		return new(json.RawMessage)
	})
}

// malformed says in one sentence what is wrong with JSON text.
func malformed(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("its JSON ends too early")
	case errors.As(err, &syntax):
		return fmt.Errorf("it is not valid JSON: %w", syntax)
	case errors.As(err, &kind):
		return fmt.Errorf("a JSON %s stands where it does not belong", kind.Value)
	}
	return err
}
