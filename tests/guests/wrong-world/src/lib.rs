//! Not a sink of this contract: it exports something else.

wit_bindgen::generate!({
    inline: "
        package test:wrong-world@0.3.0;
        interface greeter { greet: func() -> string; }
        world guest { export greeter; }
    ",
});

struct Greeter;

impl exports::test::wrong_world::greeter::Guest for Greeter {
    fn greet() -> String {
        "hello".to_owned()
    }
}

export!(Greeter);
